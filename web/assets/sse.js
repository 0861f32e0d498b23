// Server-sent events by fetch: an EventSource could not send a key, and tells no status. The parser is the standard's
// (WHATWG HTML, section 9.2.6).

import { Refusal, refusal } from "./api.js";
import { ask } from "./session.js";

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
const SILENT_MS = 60_000; // a stream that has not even a comment for so long is dead: the gateway's heartbeat is 15 s

// Parser turns text, cut anywhere, into calls of dispatch({event, data, id}). retry is the last one told, in ms, or null.
export class Parser {
  id = "";
  retry = null;
  #dispatch;
  #rest = "";
  #first = true;
  #event = "";
  #data = null;

  constructor(dispatch) {
    this.#dispatch = dispatch;
  }

  push(text) {
    if (this.#first && text !== "") {
      this.#first = false;
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    }
    text = this.#rest + text;
    // A CR at the end may be half of a CRLF.
    const end = text.endsWith("\r") ? text.length - 1 : text.length;
    const breaks = /\r\n|\n|\r/g;
    let from = 0;
    for (let m = breaks.exec(text); m && m.index < end; m = breaks.exec(text)) {
      this.#line(text.slice(from, m.index));
      from = breaks.lastIndex;
    }
    this.#rest = text.slice(from);
  }

  #line(line) {
    if (line === "") {
      if (this.#data !== null) this.#dispatch({ event: this.#event || "message", data: this.#data, id: this.id });
      this.#event = "";
      this.#data = null;
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "data") this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.id = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
  }
}

const pause = (ms, signal) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
});

// follow reads a stream until signal says so, and comes back where it was when it breaks. message gets each event; state
// gets "connecting", "live" and "reconnecting". It throws a Refusal when the gateway does not want it to come again.
export const follow = async (path, { signal, message, state = () => {} }) => {
  let id = "";
  let delay = FIRST_RETRY_MS;
  state("connecting");
  while (!signal.aborted) {
    const parser = new Parser(message);
    parser.id = id;
    const connection = new AbortController();
    const leave = () => connection.abort();
    signal.addEventListener("abort", leave, { once: true });
    let silent = setTimeout(leave, SILENT_MS);
    try {
      const headers = { Accept: "text/event-stream" };
      if (id) headers["Last-Event-ID"] = id;
      const response = await ask(path, { headers, signal: connection.signal, cache: "no-store" });
      const { status } = response;
      if (!response.ok && status >= 400 && status < 500 && status !== 408 && status !== 429) {
        const refused = await refusal(response);
        if (status === 401) dispatchEvent(new CustomEvent("locked", { detail: refused.message }));
        throw refused;
      }
      if (response.ok) {
        state("live");
        delay = FIRST_RETRY_MS;
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let got = await reader.read(); !got.done; got = await reader.read()) {
          clearTimeout(silent);
          silent = setTimeout(leave, SILENT_MS);
          parser.push(got.value);
          id = parser.id;
        }
      }
    } catch (e) {
      if (e instanceof Refusal) throw e;
      // Anything else is a connection that broke.
    } finally {
      clearTimeout(silent);
      signal.removeEventListener("abort", leave);
      leave();
    }
    if (signal.aborted) return;
    state("reconnecting");
    await pause((parser.retry ?? delay) * (0.75 + Math.random() / 2), signal);
    delay = Math.min(delay * 2, LAST_RETRY_MS);
  }
};
