// A live stream of events as rows, that stays usable however fast they come.

import { query } from "./api.js";
import { copying } from "./act.js";
import { check, h } from "./dom.js";
import { follow } from "./sse.js";
import { clip, clock, curl, many, number, payloadOf, pretty, publishCommand } from "./text.js";

const MOST_ROWS = 300;   // kept in the list
const MOST_PREVIEW = 160; // characters of a payload on a row that is closed
const BUSY = 20;          // rows waiting for a frame, past which drawing slows down
const BUSY_MS = 150;      // to this: nobody reads faster, and the page has other things to do

// streamPath is where a stream of patterns is, that began or begins as asked.
export const streamPath = ({ topics, filter, since }, format = "cloudevents") =>
  `/v1/stream${query({ topic: topics, format, filter, since })}`;

const parse = (data) => {
  try {
    return JSON.parse(data);
  } catch {
    return { data };
  }
};

const eventRow = (message, expanded) => {
  const ce = parse(message.data);
  const { text, binary } = payloadOf(ce);
  const topic = ce.carillontopic ?? ce.type ?? "";
  const row = h("details.event", { open: expanded }, h("summary", {}, clock(ce.carillontime ?? ce.time) ?? h("time"), h("span.topic", {}, topic),
    h("span.preview", {}, text.slice(0, MOST_PREVIEW))));
  // Most rows are never opened: what is in them is made when they are.
  const details = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(ce.id) ? `#/events/${ce.id}` : `#/events${query({ topic })}`; // a CloudEvent may have an id of its own
  const fill = () => row.append(h("div.body", {}, h("pre", { tabindex: "0", role: "group", "aria-label": "Payload" }, clip(pretty(text))),
    h("div.row", {}, h("a.small", { href: details }, "Details"), h("span.cursor", { title: "cursor" }, message.id), h("span.grow"),
      !binary && copying("Copy as curl", () => publishCommand(topic, ce.datacontenttype, text)), copying("Copy payload", () => text))));
  if (expanded) fill();
  else row.addEventListener("toggle", fill, { once: true });
  return h("li", {}, row);
};

// tail is a stream's toolbar and rows. start has it listen; seen is called with each event that is drawn first, for those
// who wait for one.
export const tail = ({ signal, state, expanded = false, seen = () => {} }) => {
  const rows = h("ol.events", { reversed: true, "aria-label": "Events, newest first", id: "events" });
  const empty = h("p.empty", { id: "empty" }, "Events show up here as they are accepted.");
  const trouble = h("p.bad", { role: "alert", id: "trouble", hidden: true });
  const count = h("p.muted.grow", { id: "count" }, "no events yet");
  const pause = h("button.quiet.small", { id: "pause", "aria-pressed": "false", "data-pause": true, onclick: () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume" : "Pause";
    plan();
    tally();
  } }, "Pause");
  const clear = h("button.quiet.small", { id: "clear", onclick: () => {
    waiting = [];
    total = missed = held = 0;
    rows.replaceChildren();
    empty.hidden = false;
    tally();
  } }, "Clear");
  let open = expanded;
  const expand = check("Expanded", { checked: open, onchange: (e) => {
    open = e.target.checked;
    for (const d of rows.querySelectorAll("details")) d.open = open;
  } });

  let waiting = []; // not drawn yet: until the next frame, or while paused; the newest only
  let paused = false;
  let planned = false;
  let drawn = 0;    // when rows were drawn last
  let total = 0;
  let missed = 0;   // events that never got a row, because others came too fast behind them
  let held = 0;     // of those waiting or missed, the ones that came while paused
  let second = { from: performance.now(), events: 0, rate: 0 };

  const tally = () => {
    const parts = [total === 0 ? "no events yet" : many(total, "event")];
    if (held) parts.push(`${held.toLocaleString("en")} held back`);
    if (missed) parts.push(`${missed.toLocaleString("en")} only counted`);
    if (second.rate >= 2 && !paused) parts.push(`${number(second.rate)}/s`);
    count.textContent = parts.join(", ");
  };

  const draw = () => {
    planned = false;
    if (paused || signal.aborted) return;
    const now = performance.now();
    if (waiting.length > BUSY && now - drawn < BUSY_MS) {
      plan();
      return;
    }
    drawn = now;
    held = 0;
    const fresh = document.createDocumentFragment();
    for (const m of waiting.reverse()) fresh.append(m.told ? h("li.told", {}, m.told) : eventRow(m, open));
    waiting = [];
    rows.prepend(fresh);
    while (rows.children.length > MOST_ROWS) rows.lastElementChild.remove();
    empty.hidden = rows.children.length > 0;
    tally();
  };
  // A hidden tab gets no frames; it draws when it is looked at, and until then keeps the newest.
  const plan = () => {
    if (planned || paused) return;
    planned = true;
    requestAnimationFrame(draw);
  };
  const put = (m) => {
    waiting.push(m);
    if (waiting.length >= 2 * MOST_ROWS) {
      missed += waiting.length - MOST_ROWS;
      waiting = waiting.slice(-MOST_ROWS);
    }
    plan();
  };
  const beat = setInterval(() => {
    const now = performance.now();
    second = { from: now, events: 0, rate: (second.events * 1000) / (now - second.from) };
    if (total) tally();
  }, 1000);
  signal.addEventListener("abort", () => clearInterval(beat), { once: true });

  const message = (m) => {
    if (m.event === "_stream") {
      const told = parse(m.data);
      if (told.status === "gap") put({ told: "Gap: some events are missing here: they are no longer kept, or it is not known which ones were seen." });
      return;
    }
    total++;
    second.events++;
    if (paused) held++;
    put(m);
    seen(m);
  };

  let current = new AbortController();
  let request = null;

  // start listens to something else than before.
  const start = async (asked) => {
    current.abort();
    request = asked;
    const mine = new AbortController();
    current = mine;
    signal.addEventListener("abort", () => mine.abort(), { once: true });
    trouble.hidden = true;
    trouble.textContent = "";
    try {
      await follow(streamPath(asked), { signal: mine.signal, message, state: (word) => { if (current === mine) state(word); } });
    } catch (e) {
      if (current !== mine || signal.aborted) return;
      state("stopped");
      trouble.textContent = e.message;
      trouble.hidden = false;
    }
  };
  const toolbar = h("div.tools", {}, count, expand, pause, clear,
    copying("Copy as curl", () => curl(streamPath(request, null), { flags: "-N" })));
  return { element: h("div.tail", {}, toolbar, trouble, empty, rows), start, parse };
};
