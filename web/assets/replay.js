// Replaying a webhook's deliveries: how many there would be, and the job as it goes on.

import { get, patterns, query, send } from "./api.js";
import { attempt, submitting } from "./act.js";
import { check, choice, field, h, input, pill } from "./dom.js";
import { many } from "./text.js";

const LOOK_MS = 1_000;  // between looks at a job that is running: there is no stream of it
const COUNT_MS = 300;   // after the last change, before it is counted

const SINCE = [["", "the beginning"], ["10m", "10 minutes ago"], ["1h", "1 hour ago"], ["24h", "a day ago"], ["168h", "7 days ago"]];

// replay is the form and the job that is under way, if there is one. finished is called when one has ended.
export const replay = ({ signal, webhook, finished }) => {
  const since = choice(SINCE, { id: "replay-since" });
  const topics = input({ id: "replay-topics", class: "mono", placeholder: "all" });
  const states = ["failed", "canceled", "delivered"].map((s) => [s, check(s === "failed" ? "failed: dead letters" : s, { checked: s !== "delivered", "data-state": s })]);
  const total = h("p.muted", { id: "replay-total", role: "status" });
  const go = h("button", { type: "submit", id: "replay-go", disabled: true }, "Replay");
  const bar = h("progress", { max: "1", "aria-label": "Progress of the replay" });
  const where = h("p.muted.grow", { id: "replay-progress" });
  const stop = h("button.quiet.small", {}, "Stop");
  const job = h("div", { id: "job", hidden: true }, h("div.row", {}, where, stop), bar);
  const asked = () => ({
    since: since.value || null, topics: patterns(topics.value).length ? patterns(topics.value) : null,
    states: states.filter(([, el]) => el.firstChild.checked).map(([s]) => s),
  });

  let counted = 0;
  let timer = 0;
  const count = () => attempt(async () => {
    const mine = ++counted;
    go.disabled = true;
    const wanted = asked();
    if (wanted.states.length === 0) {
      total.textContent = "Choose which.";
      return;
    }
    const found = await send("POST", `/v1/webhooks/${webhook}/replay`, { ...wanted, dry_run: true }, { signal });
    if (mine !== counted) return;
    total.textContent = found.total ? `${many(found.total, "delivery", "deliveries")} would be sent again.` : "There is nothing to send again.";
    go.textContent = found.total ? `Replay ${found.total.toLocaleString("en")}` : "Replay";
    go.disabled = found.total === 0;
  });
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(count, COUNT_MS);
  };

  const watch = async (j) => {
    job.hidden = false;
    stop.hidden = false;
    stop.onclick = () => attempt(() => send("POST", `/v1/jobs/${j.id}/cancel`));
    for (;;) {
      bar.max = Math.max(j.total, 1);
      bar.value = j.state === "done" ? bar.max : j.done;
      where.replaceChildren(pill(j.state === "done" ? "good" : "warn", j.state), ` ${j.done.toLocaleString("en")} of ${j.total.toLocaleString("en")}`);
      if (j.state !== "running") break;
      await new Promise((r) => { setTimeout(r, LOOK_MS); });
      if (signal.aborted) return;
      j = await get(`/v1/jobs/${j.id}`, signal);
    }
    stop.hidden = true;
    finished();
    if (more.open) await count();
  };
  const form = h("form", { id: "replay" }, h("div.row", {}, field("Events since", since), h("div.grow", {}, field("Topics", topics))),
    h("fieldset", {}, h("legend", {}, "Deliveries that are"), states.map(([, el]) => el)), h("div.row", {}, go, total));
  form.addEventListener("input", soon);
  submitting(form, async () => {
    const begun = await send("POST", `/v1/webhooks/${webhook}/replay`, asked());
    attempt(() => watch(begun));
  });
  const more = h("details.more", { ontoggle: () => { if (more.open) count(); } }, h("summary", {}, "Send deliveries again"), form);
  const element = h("section.card", { "aria-labelledby": "replay-title" }, h("h2", { id: "replay-title" }, "Replay"), more, job);

  // resume shows a job of this webhook that is running already.
  const resume = async () => {
    const jobs = await get(`/v1/jobs${query({ limit: 50 })}`, signal);
    const running = jobs.data.find((j) => j.webhook === webhook && j.state === "running");
    if (running) attempt(() => watch(running));
  };
  return { element, resume };
};
