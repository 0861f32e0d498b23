// The playground: publish to a topic, beside the live stream of the same topic.

import { call, get, patternWrong, Refusal } from "./api.js";
import { copying, submitting } from "./act.js";
import { add, check, choice, field, h, input, pill } from "./dom.js";
import { tail } from "./tail.js";
import { curl, decoded, ms, pretty } from "./text.js";

const TYPES = ["application/json", "text/plain; charset=utf-8", "application/cloudevents+json", "application/octet-stream"];
const FOLLOW_MS = 400; // after the last key, before the stream follows the topic

export const show = async ({ root, me, signal, state, query }) => {
  const topic = input({ id: "topic", class: "mono", value: query.get("topic") ?? "demo.hello", required: true, maxlength: "255" });
  const type = input({ id: "type", class: "mono", value: "application/json", list: "types" });
  const body = h("textarea.mono", { id: "body", rows: "8", spellcheck: "false", autocapitalize: "off" });
  body.value = '{"hello": "world"}';
  const key = input({ id: "idempotency-key", class: "mono", placeholder: "none" });
  const partition = input({ id: "partition-key", class: "mono", placeholder: "none" });
  const wait = h("input", { type: "checkbox", id: "wait" });
  const seconds = input({ id: "seconds", type: "number", min: "1", max: "60", value: "10", "aria-label": "Seconds to wait" });
  const respond = choice([["first", "the first answer"], ["success", "the first success"], ["all", "all answers"]], { id: "respond", "aria-label": "What to wait for" });
  const topicField = field("Topic", topic);
  const waiting = h("div.row.waiting", { hidden: true }, respond, seconds, "s");
  wait.addEventListener("change", () => { waiting.hidden = !wait.checked; });

  const request = () => ({
    path: `/v1/topics/${encodeURIComponent(topic.value.trim())}/events${wait.checked && respond.value !== "first" ? `?respond=${respond.value}` : ""}`,
    headers: {
      "Content-Type": type.value.trim(), "Idempotency-Key": key.value.trim(), "Carillon-Partition-Key": partition.value.trim(),
      Prefer: wait.checked ? `wait=${seconds.value}` : "",
    },
  });
  const result = h("div.result", { id: "result", role: "status", hidden: true });
  const say = (good, title, text, link) => {
    result.hidden = false;
    result.replaceChildren(h("p", {}, pill(good ? "good" : "bad", good ? "ok" : "failed"), h("strong", { id: "result-title" }, title), link),
      h("pre", { id: "result-body", tabindex: "0", role: "group", "aria-label": "Answer" }, text));
  };
  const form = h("form.card", { id: "publish", "aria-label": "Publish" }, h("h2", {}, "Publish"), topicField, field("Content type", type),
    h("datalist", { id: "types" }, TYPES.map((value) => h("option", { value }))), field("Payload", body),
    h("details", {}, h("summary", {}, "Idempotency and order"), field("Idempotency key", key, "The same key and payload again publishes nothing, and answers the first receipt."),
      field("Partition key", partition, "Events of one key reach webhooks with order by key one after the other.")),
    h("label.check", {}, wait, "Wait for a webhook’s answer"), waiting,
    h("div.row", {}, h("button", { type: "submit", id: "send" }, "Publish"), copying("Copy as curl", () => {
      const { path, headers } = request();
      return curl(path, { method: "POST", headers, body: body.value });
    }, "quiet")), result);
  submitting(form, async () => {
    const { path, headers } = request();
    const given = Object.fromEntries(Object.entries(headers).filter(([, v]) => v));
    const began = performance.now();
    try {
      // Bytes have no type of their own, so that fetch adds none when the field is empty.
      const response = await call(path, { method: "POST", headers: given, body: new TextEncoder().encode(body.value) });
      const took = ms(performance.now() - began);
      const raw = await response.arrayBuffer();
      const text = decoded(raw) ?? `${raw.byteLength} bytes that are not text`;
      const hook = response.headers.get("Carillon-Webhook-Id");
      const id = response.headers.get("Carillon-Event-Id") ?? response.headers.get("Location")?.split("/").pop();
      const link = id && h("a.small", { href: `#/events/${id}` }, "Event");
      if (hook) say(true, `Webhook answered ${response.status} in ${took}`, pretty(text), link);
      else if (response.status === 202) say(true, response.headers.get("Idempotent-Replayed") ? `Published before: ${took}` : `Accepted in ${took}`, pretty(text), link);
      else say(true, `Answered in ${took}`, pretty(text), link);
    } catch (e) {
      if (!(e instanceof Refusal)) throw e;
      say(false, e.status ? `Refused: ${e.status}` : "Not sent", e.message);
    }
  });

  const stream = tail({ signal, state, expanded: true });
  const listening = h("code", { id: "listening" });
  let follows = "";
  const listen = () => {
    const wanted = topic.value.trim();
    const wrong = patternWrong(wanted) ?? (wanted.includes("*") ? "is a pattern: an event has one topic" : null);
    topicField.wrong(wanted && wrong);
    if (wrong || wanted === follows) return;
    follows = wanted;
    listening.textContent = wanted;
    stream.start({ topics: [wanted] }); // goes on until the view is left, or the topic is another
  };
  let timer = 0;
  topic.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(listen, FOLLOW_MS);
  });
  topic.addEventListener("change", listen);

  add(root, h("h1", {}, "Playground"), h("div.columns", {}, form,
    me.may("subscribe") && h("section.card", { "aria-labelledby": "live-title" }, h("h2", { id: "live-title" }, "Live: ", listening), stream.element)));
  if (me.may("subscribe")) listen();

  const again = query.get("event");
  if (again) {
    const event = await get(`/v1/events/${encodeURIComponent(again)}`, signal);
    const text = decoded(await (await call(event.payload, { signal })).arrayBuffer());
    topic.value = event.topic;
    type.value = event.content_type ?? "";
    if (text !== null) body.value = text;
    listen();
  }
};
