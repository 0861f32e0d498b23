// Webhooks: the list with how each is doing; one webhook, with all that can be done to it.

import { get, send } from "./api.js";
import { attempt, button, confirmed, secret, tell } from "./act.js";
import { add, choice, facts, h, pill } from "./dom.js";
import { deliveries } from "./deliveries.js";
import { item, listing } from "./list.js";
import { replay } from "./replay.js";
import { clip, many, ms, number, pretty, when } from "./text.js";

const path = (id) => `/v1/webhooks/${encodeURIComponent(id)}`;
const KINDS = { active: "good", throttled: "warn", down: "bad", disabled: "" };

const healthMark = (health) => pill(KINDS[health.state] ?? "", health.state);

const list = async ({ root, signal }) => {
  const row = (w) => {
    const mark = h("span", {}, w.enabled ? pill("", "…") : pill("", `disabled${w.disabled_reason ? `: ${w.disabled_reason}` : ""}`));
    const figures = h("span.muted", {});
    if (w.enabled) {
      get(`${path(w.id)}/health`, signal).then((health) => {
        mark.replaceChildren(healthMark(health));
        figures.textContent = [health.backlog && `${many(health.backlog, "delivery", "deliveries")} waiting`, health.success_rate !== null && `${number(health.success_rate * 100)} % answered 2xx`,
          health.p50_ms !== null && `p50 ${ms(health.p50_ms)}`].filter(Boolean).join(", ");
      }, () => mark.replaceChildren(pill("", "enabled")));
    }
    return item({ href: `#/webhooks/${w.id}`, title: w.url, mark, side: [figures], about: [w.topics.join(", "), w.description] });
  };
  const hooks = listing({ signal, path: "/v1/webhooks", label: "Webhooks, newest first", empty: "No webhooks yet.", row });
  add(root, h("div.top", {}, h("h1", {}, "Webhooks"), h("a.primary", { href: "#/webhooks/new" }, "New webhook")), h("div.card", { id: "webhooks" }, hooks.element));
  await hooks.reload();
};

const one = async ({ root, signal, parts }) => {
  const [id] = parts;
  let hook = await get(path(id), signal);
  const notes = h("div.stack", { id: "notes", "aria-live": "polite" }); // what an action came to
  const head = h("div.stack", {});
  const sent = deliveries({ signal, webhook: id, names: new Map([[id, hook.url]]) });
  const again = replay({ signal, webhook: id, finished: () => attempt(sent.reload) });

  const ping = async () => {
    const answer = await send("POST", `${path(id)}/ping`);
    const good = answer.status >= 200 && answer.status < 300;
    notes.replaceChildren(h("section.card", { id: "ping" }, h("p.row", {}, pill(good ? "good" : "bad", answer.error ?? `answer ${answer.status}`), h("span", { id: "ping-title" },
      answer.status ? `It answered ${answer.status} in ${ms(answer.duration_ms)}.` : `No answer: ${answer.error}, after ${ms(answer.duration_ms)}.`)),
    answer.body && h("pre", { tabindex: "0", role: "group", "aria-label": "Answer" }, clip(answer.body_encoding ? `in base64: ${answer.body}` : pretty(answer.body)))));
    await draw();
  };
  const rotate = async () => {
    const overlap = choice([["24h", "for a day"], ["1h", "for an hour"], ["0s", "not at all"]], { id: "overlap", value: "24h" });
    const more = h("p.row", {}, h("label", { for: "overlap" }, "The old secret goes on signing"), overlap);
    if (!await confirmed("Give this webhook a new secret?", "Rotate", more)) return;
    const changed = await send("POST", `${path(id)}/rotate-secret`, { overlap: overlap.value });
    notes.replaceChildren(changed.secret ? secret("The new secret", changed.secret, () => notes.replaceChildren()) : h("p.card", {}, "The key pair is new; its public key is below."));
    await draw();
  };
  const able = async () => {
    if (hook.enabled && !await confirmed("Disable this webhook? What is pending is canceled; it can be replayed.", "Disable")) return;
    await send("PATCH", path(id), { enabled: !hook.enabled });
    await draw();
  };
  const remove = async () => {
    if (!await confirmed(`Delete the webhook at ${hook.url}? What is pending is canceled.`, "Delete")) return;
    await send("DELETE", path(id));
    location.hash = "#/webhooks";
    tell(true, "Deleted.");
  };
  const draw = async () => {
    hook = await get(path(id), signal);
    const health = await get(`${path(id)}/health`, signal);
    head.replaceChildren(
      h("div.top", {}, h("h1.mono", {}, hook.url), healthMark(health),
        h("div.row", {}, button("Ping", ping), h("a.small", { href: `#/webhooks/${id}/edit` }, "Edit"), button(hook.enabled ? "Disable" : "Enable", able), button("Rotate secret", rotate), button("Delete", remove))),
      h("p.lead", { hidden: !hook.description }, hook.description),
      h("section.card", { "aria-labelledby": "health-title" }, h("h2", { id: "health-title" }, "Health"), health.why && h("p", {}, health.why), facts([
        ["State", hook.disabled_reason ? `disabled: ${hook.disabled_reason}` : health.state], ["Since", when(health.since)], ["Backlog", many(health.backlog, "delivery", "deliveries")], ["Oldest undelivered", when(health.oldest_undelivered)],
        ["Answered 2xx", health.success_rate === null ? null : `${number(health.success_rate * 100)} % of ${many(health.attempts, "attempt")}`], ["p50", ms(health.p50_ms)], ["p99", ms(health.p99_ms)],
        ["Failures in a row", health.failures || null], ["Next probe", when(health.next_probe)], ["Paused until", when(health.gated_until)], ["Window", `${health.window} of ${health.max_in_flight}`],
        ["Filter errors", health.filter_errors ? `${health.filter_errors}, last: ${health.last_filter_error}` : null], ["Transform errors", health.transform_errors ? `${health.transform_errors}, last: ${health.last_transform_error}` : null],
      ])),
      h("section.card", { "aria-labelledby": "settings-title" }, h("h2", { id: "settings-title" }, "Settings"), facts([
        ["Topics", h("code", {}, hook.topics.join(", "))], ["Filter", hook.filter && h("code", {}, hook.filter)], ["Transform", hook.transform && h("code", {}, hook.transform)], ["Format", hook.format],
        ["Order", hook.order], ["Timeout", hook.timeout], ["At a time", String(hook.max_in_flight)], ["Rate limit", hook.rate_limit && `${hook.rate_limit.per_second}/s`],
        ["Retries after", hook.retry.schedule.join(", ") || "never"], ["Headers", Object.keys(hook.headers).join(", ")], ["Credentials", hook.auth?.type], ["Signed with", hook.signing],
        ["Public key", hook.public_key && h("code", {}, hook.public_key)], ["Old secrets sign until", hook.old_secrets_until.map((t) => new Date(t).toLocaleString()).join(", ")],
        ["Metadata", Object.entries(hook.metadata).map(([k, v]) => `${k}: ${v}`).join(", ")], ["Id", h("code", {}, hook.id)], ["Created", when(hook.created_at)],
      ])));
  };
  add(root, h("p.crumb", {}, h("a", { href: "#/webhooks" }, "Webhooks")), notes, head, again.element, sent.element);
  await draw();
  await Promise.all([sent.reload(), again.resume()]);
};

export const show = async (context) => {
  const [id, what] = context.parts;
  if (!id) return list(context);
  if (id === "new" || what === "edit") return (await import("./webhookform.js")).show(context);
  return one(context);
};
