// Registering and changing a webhook, by a form that asks the gateway what it thinks while one types, and shows what
// would be sent.

import { call, get, patterns, patternWrong, query, Refusal, send } from "./api.js";
import { copying, secret, submitting, tell } from "./act.js";
import { add, choice, field, h, input, pill } from "./dom.js";
import { decoded, pretty } from "./text.js";

const TYPING_MS = 300; // after the last key
const SAMPLE = '{"order": 4711, "total": 99.5, "customer": {"name": "Ada"}}';

// headersOf reads "Name: value" lines. Those that the webhook has and the text has not are removed.
const headersOf = (text, had) => {
  const headers = Object.fromEntries(Object.keys(had).map((name) => [name, null]));
  for (const line of text.split("\n").map((l) => l.trim()).filter(Boolean)) {
    const colon = line.indexOf(":");
    headers[colon < 0 ? line : line.slice(0, colon).trim()] = colon < 0 ? "" : line.slice(colon + 1).trim();
  }
  return headers;
};

export const show = async ({ root, me, signal, parts }) => {
  const id = parts[0] === "new" ? null : parts[0];
  const hook = id ? await get(`/v1/webhooks/${encodeURIComponent(id)}`, signal) : null;

  const area = (attributes) => {
    const { value, ...rest } = attributes;
    const el = h("textarea.mono", { rows: "2", spellcheck: "false", autocapitalize: "off", ...rest });
    el.value = value ?? "";
    return el;
  };
  const url = input({ id: "url", class: "mono", type: "url", required: true, value: hook?.url ?? "", placeholder: "https://example.com/hook" });
  const topics = input({ id: "topics", class: "mono", required: true, value: hook?.topics.join(", ") ?? "", placeholder: "orders.*, users.**" });
  const description = input({ id: "description", value: hook?.description ?? "", maxlength: "1024" });
  const filter = area({ id: "filter", value: hook?.filter, placeholder: "data.total > 100.0" });
  const transform = area({ id: "transform", value: hook?.transform, placeholder: "{order: .order}" });
  const format = choice([["raw", "raw: the payload as it was posted"], ["standard", "standard: type, timestamp, data"], ["cloudevents", "cloudevents: structured"], ["cloudevents-binary", "cloudevents-binary: attributes in headers"]], { id: "format", value: hook?.format });
  const order = choice([["none", "none"], ["key", "by partition key"], ["strict", "strict, one at a time"]], { id: "order", value: hook?.order });
  const timeout = input({ id: "timeout", class: "mono", value: hook?.timeout ?? "15s" });
  const inFlight = input({ id: "max-in-flight", type: "number", min: "1", max: "1024", value: String(hook?.max_in_flight ?? 16) });
  const rate = input({ id: "rate", type: "number", min: "0", step: "any", value: hook?.rate_limit ? String(hook.rate_limit.per_second) : "", placeholder: "none" });
  const schedule = input({ id: "schedule", class: "mono", value: hook?.retry.schedule.join(" ") ?? "", placeholder: "5s 30s 2m 10m 30m 1h 3h 6h 12h 24h 24h" });
  const headers = area({ id: "headers", value: Object.entries(hook?.headers ?? {}).map(([n, v]) => `${n}: ${v}`).join("\n"), placeholder: "X-Team: shop" });
  const signing = choice([["hmac", "hmac: a secret both know"], ["ed25519", "ed25519: a key pair"]], { id: "signing" });

  // By the names that the gateway's refusals have for them.
  const fields = {
    url: field("URL to deliver to", url), topics: field("Topics, * and ** as wildcards", topics), description: field("Description", description),
    filter: field("Filter: a CEL expression over topic, type, data, attributes and time", filter), transform: field("Transform: a jq expression that makes the payload", transform),
    format: field("Format of the body", format), order: field("Order", order), timeout: field("Timeout", timeout), max_in_flight: field("Requests at a time", inFlight),
    rate_limit: field("Requests per second", rate), retry: field("Retries after", schedule), headers: field("Headers, one a line", headers, hook && "*** keeps what it has."), signing: hook ? null : field("Signed with", signing),
  };

  const settings = () => {
    const s = {
      url: url.value.trim(), topics: patterns(topics.value), description: description.value, filter: filter.value.trim() || null, transform: transform.value.trim() || null, format: format.value,
      order: order.value, timeout: timeout.value.trim() || null, max_in_flight: Number(inFlight.value) || null,
      headers: headersOf(headers.value, hook?.headers ?? {}),
    };
    if (rate.value) s.rate_limit = hook?.rate_limit && Number(rate.value) === hook.rate_limit.per_second ? hook.rate_limit : { per_second: Number(rate.value) };
    else s.rate_limit = null;
    s.retry = schedule.value.trim() ? { schedule: patterns(schedule.value) } : null;
    if (!hook) s.signing = signing.value;
    return s;
  };

  // wrong puts what is wrong beside what it is about, and returns what is about nothing here.
  const wrong = (errors) => {
    const by = {};
    const rest = [];
    for (const { field: name, detail } of errors) {
      const [own] = name.replace(/^webhook\./, "").split(/[.[]/);
      if (fields[own]) (by[own] ??= []).push(detail);
      else rest.push(`${name}: ${detail}`);
    }
    for (const [name, el] of Object.entries(fields)) el?.wrong(by[name]?.join("\n"));
    return rest;
  };

  // --- the preview ---

  const sample = choice([["", "an event of my own"]], { id: "sample" });
  const sampleTopic = input({ id: "sample-topic", class: "mono", value: "orders.created" });
  const sampleData = area({ id: "sample-data", value: SAMPLE, rows: "4" });
  const sampleTopicField = field("Its topic", sampleTopic);
  const sampleDataField = field("Its payload", sampleData);
  const verdict = h("p", { id: "verdict", role: "status" });
  const would = h("pre", { id: "would", tabindex: "0", role: "group", "aria-label": "The request’s body" });
  const wouldHeaders = h("details.more", { hidden: true }, h("summary", {}, "Headers"), h("pre", { tabindex: "0", role: "group", "aria-label": "Headers" }));
  const chosen = new Map(); // recent events by id, as samples
  let offered = "";

  // offer lists the recent events that the patterns match.
  const offer = async () => {
    const wanted = patterns(topics.value).filter((p) => !patternWrong(p));
    if (!me.may("subscribe") || wanted.join() === offered) return;
    offered = wanted.join();
    const recent = wanted.length ? (await get(`/v1/events${query({ topic: wanted, limit: 10 })}`, signal)).data : [];
    const before = sample.value;
    sample.replaceChildren(...recent.map((e) => h("option", { value: e.id }, `${e.topic}, ${new Date(e.time).toLocaleTimeString()}`)), h("option", { value: "" }, "an event of my own"));
    sample.value = recent.some((e) => e.id === before) ? before : recent[0]?.id ?? "";
    for (const e of recent) chosen.set(e.id, e);
    take();
  };
  const take = () => { sampleTopicField.hidden = sampleDataField.hidden = sample.value !== ""; };
  const sampled = async () => {
    const e = chosen.get(sample.value);
    if (!e) return { topic: sampleTopic.value.trim(), content_type: "application/json", payload: sampleData.value };
    e.text ??= decoded(await (await call(e.payload, { signal })).arrayBuffer()) ?? "";
    return { topic: e.topic, content_type: e.content_type, payload: e.text, attributes: e.attributes, partition_key: e.partition_key };
  };

  let looked = 0;
  let timer = 0;
  const look = async () => {
    const mine = ++looked;
    const s = settings();
    const local = s.topics.map((p) => [p, patternWrong(p)]).filter(([, w]) => w).map(([p, w]) => ({ field: "topics", detail: `${p}: ${w}` }));
    if (local.length) {
      wrong(local);
      return;
    }
    try {
      await offer();
      // What is not filled in yet is not wrong yet.
      for (const name of ["url", "topics"]) if (s[name].length === 0) delete s[name];
      for (const name of Object.keys(s.headers)) if (s.headers[name] === null || s.headers[name] === "***") delete s.headers[name];
      const trial = await send("POST", "/v1/webhooks/test", { webhook: s, event: await sampled() }, { signal });
      if (mine !== looked) return;
      wrong([]);
      const r = trial.request;
      verdict.replaceChildren(r ? pill("good", "would be sent") : pill("warn", "would not be sent"), r ? "" : ` ${trial.detail ?? trial.reason}`);
      would.textContent = r ? (r.body_encoding ? `in base64: ${r.body}` : pretty(r.body)) : "";
      wouldHeaders.hidden = !r;
      wouldHeaders.lastChild.textContent = r ? Object.entries(r.headers).map(([n, v]) => `${n}: ${v}`).join("\n") : "";
    } catch (e) {
      if (mine !== looked || e.name === "AbortError") return;
      const rest = e instanceof Refusal ? wrong(e.errors) : [];
      verdict.replaceChildren(pill("bad", "not right yet"), rest.length ? ` ${rest.join(", ")}` : e.errors?.length ? "" : ` ${e.message}`);
      would.textContent = "";
      wouldHeaders.hidden = true;
    }
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(look, TYPING_MS);
  };

  const form = h("form.card", { id: "webhook-form", "aria-label": "Webhook", novalidate: true }, fields.url, fields.topics, fields.description, fields.filter, fields.transform, fields.format,
    h("details", {}, h("summary", {}, "Retries, order, limits, headers"), fields.order, fields.retry, fields.timeout, fields.max_in_flight, fields.rate_limit, fields.headers, fields.signing),
    h("div.row", {}, h("button", { type: "submit", id: "save" }, hook ? "Save" : "Register"), h("a.small", { href: hook ? `#/webhooks/${id}` : "#/webhooks" }, "Cancel")));
  form.addEventListener("input", soon);
  const preview = h("section.card.stack", { id: "preview", "aria-labelledby": "preview-title" }, h("h2", { id: "preview-title" }, "What would be sent"), field("For", sample), sampleTopicField, sampleDataField, verdict, wouldHeaders, would);
  preview.addEventListener("input", () => { take(); soon(); });
  submitting(form, async () => {
    const s = settings();
    if (!hook) for (const [name, value] of Object.entries(s.headers)) if (value === null) delete s.headers[name];
    let saved;
    try {
      saved = await send(hook ? "PATCH" : "POST", hook ? `/v1/webhooks/${encodeURIComponent(id)}` : "/v1/webhooks", s);
    } catch (e) {
      if (e instanceof Refusal && e.errors.length && wrong(e.errors).length === 0) {
        form.querySelector("[aria-invalid]")?.focus();
        return;
      }
      throw e;
    }
    if (hook || !saved.secret) {
      location.hash = `#/webhooks/${saved.id}`;
      tell(true, hook ? "Saved." : "Registered.");
      return;
    }
    root.replaceChildren(h("h1", {}, "Registered"), secret("Its secret, with which receivers verify what they get", saved.secret),
      h("div.row", {}, h("a.primary", { href: `#/webhooks/${saved.id}` }, "To the webhook"), copying("Copy its id", () => saved.id)));
  });
  add(root, h("p.crumb", {}, h("a", { href: "#/webhooks" }, "Webhooks")), h("h1", {}, hook ? "Change the webhook" : "New webhook"), h("div.halves", {}, form, preview));
  take();
  await look();
};
