// Events: searching for them, and one event with what became of it.

import { call, get, patterns, patternWrong, query } from "./api.js";
import { copying, submitting } from "./act.js";
import { add, facts, field, h, input } from "./dom.js";
import { deliveryRow, webhookNames } from "./deliveries.js";
import { item, listing } from "./list.js";
import { bytes, clip, clock, decoded, many, pretty, publishCommand, when } from "./text.js";

const search = async ({ root, signal, query: asked }) => {
  const id = input({ id: "event-id", class: "mono", "data-search": true, placeholder: "0197a2c4-…" });
  const topic = input({ id: "event-topic", class: "mono", value: asked.getAll("topic").join(", "), placeholder: "orders.*" });
  const since = input({ id: "event-since", class: "mono", value: asked.get("since") ?? "", placeholder: "2h, or 2026-11-22T18:00:00Z" });
  const until = input({ id: "event-until", class: "mono", value: asked.get("until") ?? "", placeholder: "now" });
  const topicField = field("Topics", topic);
  const narrowed = () => ({ topic: patterns(topic.value), since: since.value.trim(), until: until.value.trim() });
  const list = listing({
    signal, path: "/v1/events", label: "Events, newest first", empty: "No such events in the log.", ask: narrowed,
    row: (e) => item({
      href: `#/events/${e.id}`, title: e.topic, side: [h("span.muted", {}, many(e.webhooks, "webhook")), h("span.muted", {}, bytes(e.size)), h("span.muted.fixed", {}, clock(e.time))],
      about: [`${e.id}${e.content_type ? ` · ${e.content_type}` : ""}`],
    }),
  });
  const byID = h("form.inline", { id: "find" }, field("Id", id), h("button.quiet", { type: "submit" }, "Open"));
  submitting(byID, async () => {
    if (!id.value.trim()) return;
    const found = await get(`/v1/events/${encodeURIComponent(id.value.trim())}`, signal);
    location.hash = `#/events/${found.id}`;
  });
  const form = h("form.inline", { id: "search" }, topicField, field("Since", since), field("Until", until), h("button", { type: "submit" }, "Search"));
  submitting(form, async () => {
    const wrong = patterns(topic.value).map((p) => [p, patternWrong(p)]).find(([, w]) => w);
    topicField.wrong(wrong && `${wrong[0]}: ${wrong[1]}`);
    if (wrong) return;
    history.replaceState(null, "", `#/events${query(narrowed())}`);
    await list.reload();
  });
  add(root, h("h1", {}, "Events"), h("div.card.stack", {}, form, byID), h("div.card", {}, list.element));
  await list.reload();
};

const one = async ({ root, me, signal, parts }) => {
  const event = await get(`/v1/events/${encodeURIComponent(parts[0])}`, signal);
  const raw = await (await call(event.payload, { signal })).arrayBuffer();
  const text = decoded(raw);
  add(root, h("p.crumb", {}, h("a", { href: "#/events" }, "Events")),
    h("div.top", {}, h("h1.mono", {}, event.topic), me.may("publish") && h("a.small", { href: `#/play${query({ event: event.id })}` }, "Publish again"),
      text !== null && copying("Copy as curl", () => publishCommand(event.topic, event.content_type, text)), text !== null && copying("Copy payload", () => text)),
    h("section.card", { "aria-label": "About the event" }, facts([
      ["Id", h("code", {}, event.id)], ["Accepted", [when(event.time), h("span.muted", {}, ` ${event.time}`)]], ["Content type", event.content_type ?? "none"], ["Size", bytes(event.size)],
      ["Cursor", h("code", {}, event.cursor)], ["Webhooks", String(event.webhooks)], ["Partition key", event.partition_key], ["traceparent", event.traceparent && h("code", {}, event.traceparent)],
    ])),
    event.attributes && h("section.card", {}, h("h2", {}, "CloudEvents attributes"), facts(Object.entries(event.attributes))),
    h("section.card", {}, h("h2", {}, "Payload"), h("pre", { id: "payload", tabindex: "0", role: "group", "aria-label": "Payload" },
      text === null ? `${raw.byteLength} bytes that are not text` : clip(/json/.test(event.content_type ?? "json") ? pretty(text) : text))));
  if (!me.may("manage")) return;
  const names = await webhookNames(signal);
  const list = listing({ signal, path: "/v1/deliveries", label: "Deliveries", empty: "No webhook was owed this event.", ask: () => ({ event: event.id }), row: (d) => deliveryRow(d, { signal, names, forEvent: true }) });
  add(root, h("section.card", { id: "deliveries" }, h("div.tools", {}, h("h2.grow", {}, "Deliveries"), h("button.quiet.small", { id: "refresh", onclick: list.reload }, "Refresh")), list.element));
  await list.reload();
  // What became of it is what one came for: every attempt is shown at once, unless there are very many.
  for (const b of [...list.list.querySelectorAll("[aria-expanded=false]")].slice(0, 10)) b.click();
};

export const show = (context) => (context.parts[0] ? one(context) : search(context));
