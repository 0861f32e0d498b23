// Deliveries: a list of them, every attempt of one, and what can be done about it, one by one or many at once.

import { get, send } from "./api.js";
import { attempt, button, tell } from "./act.js";
import { add, check, choice, h, pill } from "./dom.js";
import { item, listing } from "./list.js";
import { clip, clock, many, ms, pretty, when } from "./text.js";

const SETTLE_MS = 700;  // between looks at a delivery that was just sent again
const SETTLE_LOOKS = 8;

export const KINDS = { delivered: "good", failed: "bad", pending: "warn", canceled: "" };

const path = (id) => `/v1/deliveries/${encodeURIComponent(id)}`;

const attemptItem = (a) => h("div", {}, h("div.row", {}, h("b", {}, `Attempt ${a.number}`), clock(a.time),
  pill(a.error ? "bad" : "good", a.error ?? `answer ${a.status}`), a.error && a.status ? `answer ${a.status}` : null, h("span.muted", {}, ms(a.duration_ms))),
  a.answer && h("pre", { tabindex: "0", role: "group", "aria-label": "Answer" }, clip(a.answer_encoding ? `in base64: ${a.answer}` : pretty(a.answer))));

// attempts shows what came of each, once it has been asked for.
const attempts = (d) => h("div.attempts", {}, d.attempts.length ? d.attempts.map(attemptItem) : "Nothing was attempted yet.");

const told = (d) => [many(d.attempt_count, "attempt"), d.last_status && `answer ${d.last_status}`, d.error, d.reason].filter(Boolean).join(", ");

// deliveryRow is one delivery. open shows its attempts at once; names are the URLs of webhooks by id.
export const deliveryRow = (d, { signal, names = new Map(), open = false, forEvent = false, picked = null }) => {
  let li;
  const again = (fresh) => {
    const row = deliveryRow(fresh, { signal, names, open: true, forEvent, picked });
    li.replaceWith(row);
    return row;
  };
  // Sent again, it is looked at until it has come to something, for a few seconds.
  const act = (what) => async () => {
    await send("POST", `${path(d.id)}/${what}`);
    picked?.delete(d.id);
    let fresh = await get(path(d.id), signal);
    let row = again(fresh);
    for (let i = 0; i < SETTLE_LOOKS && fresh.state === "pending"; i++) {
      await new Promise((r) => { setTimeout(r, SETTLE_MS); });
      if (signal.aborted) return;
      fresh = await get(path(d.id), signal);
      const next = deliveryRow(fresh, { signal, names, open: true, forEvent, picked });
      row.replaceWith(next);
      row = next;
    }
  };
  const below = h("div", {});
  const toggle = h("button.quiet.small", { "aria-expanded": "false", onclick: () => attempt(async () => {
    const closed = toggle.getAttribute("aria-expanded") === "false";
    below.replaceChildren(...(closed ? [attempts(await get(path(d.id), signal))] : []));
    toggle.setAttribute("aria-expanded", String(closed));
  }) }, "Attempts");
  if (open && d.attempts) {
    below.append(attempts(d));
    toggle.setAttribute("aria-expanded", "true");
  }
  const pick = picked && d.state !== "pending" && check("", { "aria-label": `Choose ${d.id}`, checked: picked.has(d.id), onchange: (e) => {
    if (e.target.checked) picked.add(d.id);
    else picked.delete(d.id);
    picked.changed();
  } });
  li = item({
    href: forEvent ? `#/webhooks/${d.webhook}` : `#/events/${d.event}`, title: forEvent ? names.get(d.webhook) ?? d.webhook : d.topic,
    mark: [pill(KINDS[d.state], d.state), d.replay && pill("", "replay")],
    side: [pick, h("span.muted", {}, d.due_at ? ["next attempt ", when(d.due_at)] : when(d.ended_at ?? d.created_at))],
    actions: [toggle, d.state === "pending" ? button("Cancel", act("cancel"), { kind: "quiet.small" }) : button("Retry", act("retry"), { kind: "quiet.small" })],
    about: [forEvent ? told(d) : `${names.get(d.webhook) ?? d.webhook}: ${told(d)}`], below,
  });
  return li;
};

// webhookNames are the URLs of the webhooks by id, of the first page of them.
export const webhookNames = async (signal) => new Map((await get("/v1/webhooks?limit=500", signal)).data.map((w) => [w.id, w.url]));

// deliveries is a list of deliveries, of one webhook or of all, by state, with what can be done to those that are chosen.
export const deliveries = ({ signal, webhook, state = "", names = new Map() }) => {
  const picked = new Set();
  const states = choice([["", "all"], ["failed", "failed: dead letters"], "pending", "delivered", "canceled"], { id: "delivery-state", "aria-label": "State", value: state });
  const retry = h("button.quiet.small", { hidden: true, id: "retry-chosen" });
  picked.changed = () => {
    retry.hidden = picked.size === 0;
    retry.textContent = `Retry ${picked.size} chosen`;
  };
  const list = listing({
    signal, path: "/v1/deliveries", label: "Deliveries, newest first", empty: "No such deliveries.",
    ask: () => ({ webhook, state: states.value }), row: (d) => deliveryRow(d, { signal, names, picked }),
  });
  const reload = async () => {
    picked.clear();
    picked.changed();
    await list.reload();
  };
  retry.addEventListener("click", () => attempt(async () => {
    retry.disabled = true;
    let done = 0;
    try {
      for (const id of picked) {
        await send("POST", `${path(id)}/retry`);
        done++;
      }
    } finally {
      retry.disabled = false;
    }
    tell(true, `${many(done, "delivery", "deliveries")} sent again.`);
    await reload();
  }));
  states.addEventListener("change", () => attempt(reload));
  const all = h("button.quiet.small", { onclick: () => {
    for (const box of list.list.querySelectorAll("input[type=checkbox]:not(:checked)")) box.click();
  } }, "Choose all");
  const element = h("section.card", { id: "deliveries", "aria-labelledby": "deliveries-title" }, h("div.tools", {}, h("h2.grow", { id: "deliveries-title" }, "Deliveries"), retry, all, states,
    h("button.quiet.small", { onclick: () => attempt(reload), id: "refresh" }, "Refresh")), list.element);
  return { element, reload };
};

// show is the page of all deliveries.
export const show = async ({ root, signal, query: asked }) => {
  const names = await webhookNames(signal);
  const list = deliveries({ signal, names, state: asked.get("state") ?? "", webhook: asked.get("webhook") ?? undefined });
  add(root, h("h1", {}, "Deliveries"), list.element);
  await list.reload();
};
