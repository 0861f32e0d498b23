// The page's behaviour. Whatever comes from events or answers goes into the page through textContent only.

const MOST_EVENTS = 200;      // kept in the list
const MOST_TEXT = 20_000;     // characters of one payload that are shown
const WAIT_SECONDS = 10;
const FIRST_RETRY_MS = 1_000; // after an answer that EventSource does not retry by itself
const LAST_RETRY_MS = 30_000;
const TIME_OF_DAY = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" };

const $ = (id) => document.getElementById(id);

const make = (tag, className, text) => {
  const el = document.createElement(tag);
  if (className) el.className = className;
  if (text !== undefined) el.textContent = text;
  return el;
};

// --- what an answer says ---

// explain turns a problem document (RFC 9457), or whatever came instead, into lines of text.
const explain = async (response) => {
  const text = await response.text();
  try {
    const p = JSON.parse(text);
    if (p.title) {
      const lines = [p.detail || p.title];
      for (const e of p.errors ?? []) lines.push(`${e.field}: ${e.detail}`);
      return lines.join("\n");
    }
  } catch { /* not JSON: shown as it came */ }
  return text || response.statusText;
};

const pretty = (text) => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};

const locked = () => {
  $("curl").textContent =
    `curl -N -H "Authorization: Bearer $CARILLON_KEY" '${location.origin}/v1/stream?topic=**'\n` +
    `curl -H "Authorization: Bearer $CARILLON_KEY" -H 'Content-Type: application/json' \\\n` +
    `     -d '{"hello": "world"}' ${location.origin}/v1/topics/demo.hello/events`;
  $("locked").hidden = false;
  $("main").hidden = true; // nothing on it would work
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
    const response = await fetch(`/v1/topics/${topic}/events`, { method: "POST", headers, body });
    const webhook = response.headers.get("Carillon-Webhook-Id");
    if (webhook) {
      showResult(response.ok, `Webhook ${webhook} answered ${response.status}`, pretty(await response.text()));
    } else if (response.status === 202) {
      showResult(true, "Accepted", pretty(await response.text()));
    } else {
      if (response.status === 401) locked();
      showResult(false, `Refused: ${response.status}`, await explain(response));
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

const connect = () => {
  clearTimeout(retryTimer);
  source?.close();
  const query = new URLSearchParams();
  for (const pattern of $("pattern").value.split(/[\s,]+/).filter(Boolean)) query.append("topic", pattern);
  query.append("format", "cloudevents");
  if (cursor) query.append("last_event_id", cursor);
  const url = `/v1/stream?${query}`;

  state("connecting");
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
  const status = response?.status ?? 0;
  if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
    if (status === 401) locked();
    trouble(await explain(response));
    state("stopped");
    return;
  }
  abort.abort();
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

connect();
