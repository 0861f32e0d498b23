// Webhooks, what was sent to them, and jobs. Whatever comes from answers goes into the page through textContent only.

import { $, explain, make } from "./page.js";
import { ask, askJSON } from "./session.js";

const MOST = 50; // of each list

let locked = () => {};
let urls = new Map(); // of the webhooks, by id

// say shows what became of something.
const say = (good, title, body) => {
  $("managed").hidden = false;
  $("managed").classList.toggle("bad", !good);
  $("managed-title").textContent = title;
  $("managed-body").textContent = body;
};

// act sends a request, tells what went wrong with it, and shows the lists as they are then. done gets the answer.
const act = async (request, done) => {
  try {
    const response = await request();
    if (response.status === 401) {
      locked(await explain(response));
      return;
    }
    if (!response.ok) {
      say(false, `Refused: ${response.status}`, await explain(response));
      return;
    }
    await done?.(response);
  } catch {
    say(false, "Not sent", "The gateway cannot be reached.");
    return;
  }
  await refresh();
};

const button = (text, press) => {
  const b = make("button", "quiet small", text);
  b.type = "button";
  b.addEventListener("click", async () => {
    b.disabled = true;
    await press();
    b.disabled = false;
  });
  return b;
};

// row is one item of a list: what it is, more about it, and what can be done with it.
const row = (head, lines, buttons) => {
  const li = make("li");
  const top = make("div", "head");
  top.append(...head, ...buttons);
  li.append(top);
  for (const line of lines) if (line) li.append(make("p", "about", line));
  return li;
};

const webhookRow = (w) => {
  const path = `/v1/webhooks/${w.id}`;
  const state = w.enabled ? "enabled" : `disabled${w.disabled_reason ? `: ${w.disabled_reason}` : ""}`;
  return row(
    [make("span", "url", w.url), make("span", w.enabled ? "good" : "warn", state)],
    [w.topics.join(", "), w.description],
    [
      button("Ping", () => act(() => ask(`${path}/ping`, { method: "POST" }), async (r) => say(true, "Pinged", await r.text()))),
      button(w.enabled ? "Disable" : "Enable", () => act(() => askJSON("PATCH", path, { enabled: !w.enabled }))),
      button("Delete", () => act(() => ask(path, { method: "DELETE" }))),
    ],
  );
};

const deliveryRow = (d) => {
  const path = `/v1/deliveries/${d.id}`;
  const buttons = [];
  if (d.state === "pending") buttons.push(button("Cancel", () => act(() => ask(`${path}/cancel`, { method: "POST" }))));
  else buttons.push(button("Retry", () => act(() => ask(`${path}/retry`, { method: "POST" }))));
  const last = d.last_status ? `answer ${d.last_status}` : d.error ?? "";
  const about = [`${d.attempt_count} ${d.attempt_count === 1 ? "attempt" : "attempts"}`, last, d.reason ?? ""].filter(Boolean).join(", ");
  return row(
    [make("span", "topic", d.topic), make("span", { delivered: "good", failed: "bad" }[d.state] ?? "warn", d.state)],
    [`${urls.get(d.webhook) ?? d.webhook}: ${about}`, new Date(d.created_at).toLocaleString()],
    buttons,
  );
};

const jobRow = (j) => row(
  [make("span", "topic", `replay to ${urls.get(j.webhook) ?? j.webhook}`), make("span", j.state === "done" ? "good" : "warn", j.state)],
  [`${j.done} of ${j.total}`],
  j.state === "running" ? [button("Cancel", () => act(() => ask(`/v1/jobs/${j.id}/cancel`, { method: "POST" })))] : [],
);

// list asks for a list and returns what is in it; null where that was refused, which has been told then.
const list = async (path) => {
  const response = await ask(path);
  if (response.status === 401) {
    locked(await explain(response));
    return null;
  }
  if (!response.ok) {
    say(false, `Refused: ${response.status}`, await explain(response));
    return null;
  }
  return (await response.json()).data;
};

let asked = 0; // refreshes so far: only what the last one got is shown

const refresh = async () => {
  const mine = ++asked;
  const state = $("delivery-state").value;
  try {
    const hooks = await list(`/v1/webhooks?limit=${MOST}`);
    const sent = hooks && (await list(`/v1/deliveries?limit=${MOST}${state ? `&state=${state}` : ""}`));
    const jobs = sent && (await list(`/v1/jobs?limit=${MOST}`));
    if (!jobs || mine !== asked) return;
    urls = new Map(hooks.map((w) => [w.id, w.url]));
    $("webhooks").replaceChildren(...hooks.map(webhookRow));
    $("no-webhooks").hidden = hooks.length > 0;
    $("deliveries").replaceChildren(...sent.map(deliveryRow));
    $("no-deliveries").hidden = sent.length > 0;
    $("jobs").replaceChildren(...jobs.map(jobRow));
    $("jobs-title").hidden = jobs.length === 0;
    $("manage").dataset.shown = String(mine);
  } catch {
    if (mine === asked) say(false, "Not shown", "The gateway cannot be reached.");
  }
};

$("register").addEventListener("submit", (e) => {
  e.preventDefault();
  const topics = $("hook-topics").value.split(/[\s,]+/).filter(Boolean);
  act(() => askJSON("POST", "/v1/webhooks", { url: $("hook-url").value.trim(), topics }), async (response) => {
    const hook = await response.json();
    say(true, "Registered. Its secret, shown this once:", hook.secret);
    $("register").reset();
  });
});
$("refresh").addEventListener("click", refresh);
$("delivery-state").addEventListener("change", refresh);

// manage shows what there is to manage. refused is called with what was said when the gateway asks for a key.
export const manage = (refused) => {
  locked = refused;
  $("manage").hidden = false;
  return refresh();
};
