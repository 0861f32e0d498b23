// The page's behaviour. Whatever comes from events or answers goes into the page through textContent only.

import { manage } from "./manage.js";
import { $, explain, make, TIME_OF_DAY } from "./page.js";
import { ask, askJSON, signedIn, signIn, signOut } from "./session.js";

const MOST_EVENTS = 200;      // kept in the list
const MOST_TEXT = 20_000;     // characters of one payload that are shown
const WAIT_SECONDS = 10;
const FIRST_RETRY_MS = 1_000; // after an answer that EventSource does not retry by itself
const LAST_RETRY_MS = 30_000;

const pretty = (text) => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};

// --- who the page is ---

// locked shows the form for a key, and why: what was signed in with is no good, or nothing was.
const locked = (why) => {
  if (signedIn()) {
    signOut();
    $("locked-why").textContent = why;
    $("locked-why").hidden = false;
  }
  attempts++;
  source?.close();
  source = null;
  clearTimeout(retryTimer);
  $("curl").textContent =
    `curl -N -H "Authorization: Bearer $CARILLON_KEY" '${location.origin}/v1/stream?topic=**'\n` +
    `curl -H "Authorization: Bearer $CARILLON_KEY" -H 'Content-Type: application/json' \\\n` +
    `     -d '{"hello": "world"}' ${location.origin}/v1/topics/demo.hello/events`;
  $("locked").hidden = false;
  $("main").hidden = true; // nothing on it would work
  $("me").hidden = true;
  state("stopped");
};

$("sign-in").addEventListener("submit", (e) => {
  e.preventDefault();
  signIn($("key").value);
  $("key").value = "";
  begin();
});
$("sign-out").addEventListener("click", () => {
  signOut();
  location.reload();
});

// begin asks who the page is, and shows what that one may use.
const begin = async () => {
  let response = null;
  try {
    response = await ask("/v1/me");
  } catch { /* not reachable: tried again below */ }
  if (!response || response.status >= 500) {
    state("reconnecting");
    retryTimer = setTimeout(begin, FIRST_RETRY_MS);
    return;
  }
  if (!response.ok) {
    locked(await explain(response));
    return;
  }
  const me = await response.json();
  const may = (scope) => me.scopes.includes(scope) || me.scopes.includes("admin");
  $("locked").hidden = true;
  $("locked-why").hidden = true;
  $("main").hidden = false;
  $("me").hidden = !signedIn();
  const until = me.expires_at ? `until ${new Date(me.expires_at).toLocaleString()}` : "";
  $("who").textContent = [me.label ?? (me.kind === "portal" ? "portal" : "with a key"), until].filter(Boolean).join(", ");
  $("publish-card").hidden = !may("publish");
  $("stream-card").hidden = !may("subscribe");
  $("metrics-link").hidden = me.kind !== "open"; // a link carries no key
  if (may("manage")) {
    if (me.topics) $("hook-topics").placeholder = me.topics.join(", ");
    manage(locked);
  }
  if (may("subscribe")) connect();
  else state("signed in");
};

// --- publishing ---

const showResult = (good, title, body) => {
  $("result").hidden = false;
  $("result").classList.toggle("bad", !good);
  $("result-title").textContent = title;
  $("result-body").textContent = body;
};

const publish = async () => {
  const headers = {};
  const type = $("type").value.trim();
  if (type) headers["Content-Type"] = type;
  if ($("wait").checked) headers["Prefer"] = `wait=${WAIT_SECONDS}`;
  // Bytes have no type of their own, so that fetch adds none when the field is empty.
  const body = new TextEncoder().encode($("body").value);
  const topic = encodeURIComponent($("topic").value.trim());

  $("send").disabled = true;
  try {
    const response = await ask(`/v1/topics/${topic}/events`, { method: "POST", headers, body });
    const webhook = response.headers.get("Carillon-Webhook-Id");
    if (webhook) {
      showResult(response.ok, `Webhook ${webhook} answered ${response.status}`, pretty(await response.text()));
    } else if (response.status === 202) {
      showResult(true, "Accepted", pretty(await response.text()));
    } else {
      const why = await explain(response);
      if (response.status === 401) locked(why);
      showResult(false, `Refused: ${response.status}`, why);
    }
  } catch {
    showResult(false, "Not sent", "The gateway cannot be reached.");
  } finally {
    $("send").disabled = false;
  }
};

$("publish").addEventListener("submit", (e) => {
  e.preventDefault();
  publish();
});
$("body").addEventListener("keydown", (e) => {
  if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) $("publish").requestSubmit();
});

// --- the list of events ---

let waiting = []; // rows not shown yet: until the next frame, or while paused
let paused = false;
let drawing = false;
let total = 0;

const payloadText = (ce) => {
  if (ce.data_base64 !== undefined) {
    const bytes = Uint8Array.from(atob(ce.data_base64), (c) => c.charCodeAt(0));
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      return `${bytes.length} bytes that are not text, in base64:\n${ce.data_base64}`;
    }
  }
  if (ce.data === undefined) return "";
  return typeof ce.data === "string" ? ce.data : JSON.stringify(ce.data, null, 2);
};

const clip = (text) => (text.length <= MOST_TEXT ? text : `${text.slice(0, MOST_TEXT)}\n… ${text.length} characters in all`);

const eventRow = (message) => {
  let ce;
  try {
    ce = JSON.parse(message.data);
  } catch {
    ce = { data: message.data };
  }
  const row = make("li", "new");
  const head = make("div", "head");
  head.append(make("span", "topic", ce.carillontopic ?? ce.type ?? ""));
  const at = new Date(ce.carillontime ?? ce.time ?? NaN);
  if (!Number.isNaN(at.valueOf())) {
    const time = make("time", "", at.toLocaleTimeString([], TIME_OF_DAY));
    time.dateTime = at.toISOString();
    time.title = at.toLocaleString();
    head.append(time);
  }
  head.append(make("span", "cursor", message.lastEventId));
  row.append(head, make("pre", "", clip(payloadText(ce))));
  return row;
};

const draw = () => {
  drawing = false;
  if (paused) return;
  const list = $("events");
  for (const row of waiting) list.prepend(row);
  waiting = [];
  while (list.children.length > MOST_EVENTS) list.lastElementChild.remove();
  $("empty").hidden = list.children.length > 0;
  count();
};

const count = () => {
  const behind = paused && waiting.length ? `, ${waiting.length} held back` : "";
  $("count").textContent = total === 0 ? "no events yet" : `${total} ${total === 1 ? "event" : "events"}${behind}`;
};

const show = (row) => {
  waiting.push(row);
  if (waiting.length > MOST_EVENTS) waiting.shift();
  if (paused) {
    count();
  } else if (!drawing) {
    drawing = true;
    // A hidden tab gets no frames; its rows must not wait for it to be looked at.
    document.hidden ? queueMicrotask(draw) : requestAnimationFrame(draw);
  }
};

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Resume" : "Pause";
  draw();
});
$("clear").addEventListener("click", () => {
  waiting = [];
  total = 0;
  $("events").replaceChildren();
  $("empty").hidden = false;
  count();
});

// --- the stream ---

let source = null;  // the EventSource in use
let cursor = "";    // the last one seen, to resume from when a new EventSource has to be made
let retryTimer = 0;
let retryDelay = FIRST_RETRY_MS;

const state = (word) => {
  $("state").dataset.state = word;
  $("state").textContent = word;
};

const trouble = (text) => {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
};

// streamToken gets a token for a stream: an EventSource cannot send a key. It is null when none was given, which has been
// told then.
const streamToken = async (topics) => {
  let response = null;
  try {
    response = await askJSON("POST", "/v1/stream-tokens", { topics });
  } catch { /* not reachable: tried again below */ }
  if (response?.status === 201) return (await response.json()).token;
  await turnedAway(response);
  return null;
};

let attempts = 0; // to connect: what an earlier one waited for is not for a later one

const connect = async () => {
  const attempt = ++attempts;
  clearTimeout(retryTimer);
  source?.close();
  source = null;
  state("connecting");
  const topics = $("pattern").value.split(/[\s,]+/).filter(Boolean);
  const query = new URLSearchParams();
  for (const pattern of topics) query.append("topic", pattern);
  query.append("format", "cloudevents");
  if (cursor) query.append("last_event_id", cursor);
  if (signedIn()) {
    const token = await streamToken(topics);
    if (attempt !== attempts || token === null) return;
    query.append("token", token);
  }
  const url = `/v1/stream?${query}`;

  const mine = new EventSource(url);
  source = mine;
  mine.onopen = () => {
    retryDelay = FIRST_RETRY_MS;
    trouble("");
    state("live");
  };
  mine.onmessage = (message) => {
    if (source !== mine) return;
    cursor = message.lastEventId;
    total++;
    show(eventRow(message));
  };
  mine.addEventListener("_stream", (message) => {
    let told;
    try {
      told = JSON.parse(message.data);
    } catch {
      return;
    }
    if (told.status === "gap") {
      const row = make("li");
      row.append(make("p", "told", "Gap: some events are missing here: they are no longer kept, or it is not known which ones were seen."));
      show(row);
    } else if (told.status === "expired" && signedIn()) {
      connect(); // with a new token, or it is found out that there is none to get
    }
  });
  mine.onerror = () => {
    if (source !== mine) return;
    if (mine.readyState === EventSource.CONNECTING) {
      state("reconnecting");
    } else {
      refused(url);
    }
  };
};

// refused finds out why the browser gave up: EventSource itself does not tell a status.
const refused = async (url) => {
  const asked = source;
  const abort = new AbortController();
  let response = null;
  try {
    response = await fetch(url, { headers: { Accept: "text/event-stream" }, signal: abort.signal });
  } catch { /* not reachable: tried again below */ }
  if (source !== asked) {
    abort.abort();
    return;
  }
  if (response?.ok) abort.abort(); // it would go on for ever
  // The stream's token has expired while the browser was away; who is signed in gets another one.
  const again = response?.status === 401 && signedIn();
  await turnedAway(again ? null : response);
};

// turnedAway says why there is no stream, for good or until it is tried again.
const turnedAway = async (response) => {
  const status = response?.status ?? 0;
  if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
    const why = await explain(response);
    if (status === 401) locked(why);
    trouble(why);
    state("stopped");
    return;
  }
  state("reconnecting");
  retryTimer = setTimeout(connect, retryDelay * (0.75 + Math.random() / 2));
  retryDelay = Math.min(retryDelay * 2, LAST_RETRY_MS);
};

$("listen").addEventListener("submit", (e) => {
  e.preventDefault();
  cursor = "";
  trouble("");
  connect();
});

begin();
