// Times, payloads and commands as people read them.

import { h } from "./dom.js";
import { signedIn, workingIn } from "./session.js";

export const MOST_TEXT = 20_000; // characters of one payload that are shown

export const number = (n) => (n >= 100 ? Math.round(n) : Math.round(n * 10) / 10).toLocaleString("en");

export const many = (n, one, more = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : more}`;

export const ms = (n) => (n === null || n === undefined ? "" : n < 1000 ? `${number(n)} ms` : `${number(n / 1000)} s`);

export const bytes = (n) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return `${number(n)} ${units[i]}`;
};

// span is a time's distance from now: "3 min".
const span = (milliseconds) => {
  const s = Math.max(0, Math.round(milliseconds / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
};

// when is a time, told as its distance from now.
export const when = (iso) => {
  if (!iso) return null;
  const at = new Date(iso);
  const away = Date.now() - at;
  return h("time", { datetime: iso, title: at.toLocaleString() }, away > -1000 ? `${span(away)} ago` : `in ${span(-away)}`);
};

const TIME_OF_DAY = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" };

// clock is a time of day, with the date where that is not today.
export const clock = (iso) => {
  const at = new Date(iso ?? NaN);
  if (Number.isNaN(at.valueOf())) return null;
  const day = at.toDateString() === new Date().toDateString() ? "" : `${at.toLocaleDateString()} `;
  return h("time", { datetime: at.toISOString(), title: at.toLocaleString() }, day + at.toLocaleTimeString([], TIME_OF_DAY));
};

export const pretty = (text) => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};

export const clip = (text) => (text.length <= MOST_TEXT ? text : `${text.slice(0, MOST_TEXT)}\n… ${text.length} characters in all`);

// decoded is bytes as text, or null if they are none.
export const decoded = (buffer) => {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(buffer);
  } catch {
    return null;
  }
};

export const unbase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

// payloadOf is the payload of CloudEvents JSON: as text, and whether it is text.
export const payloadOf = (ce) => {
  if (ce.data_base64 !== undefined) {
    const raw = unbase64(ce.data_base64);
    const text = decoded(raw);
    return text === null ? { text: `${raw.length} bytes that are not text, in base64:\n${ce.data_base64}`, binary: true } : { text };
  }
  if (ce.data === undefined) return { text: "" };
  return { text: typeof ce.data === "string" && !/[/+]json\b/.test(ce.datacontenttype ?? "") ? ce.data : JSON.stringify(ce.data) };
};

// quoted is an argument for a shell.
export const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// curl is a command that asks this gateway as the page does, without the key itself.
export const curl = (path, { method, headers = {}, body, flags = "" } = {}) => {
  const parts = [`curl ${flags}${flags ? " " : ""}${quoted(location.origin + path)}`];
  if (method && !(method === "POST" && body !== undefined)) parts.push(`-X ${method}`);
  if (signedIn()) parts.push('-H "Authorization: Bearer $CARILLON_KEY"');
  if (workingIn()) parts.push(`-H ${quoted(`Carillon-Tenant: ${workingIn()}`)}`);
  for (const [name, value] of Object.entries(headers)) if (value) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (body !== undefined) parts.push(`--data-binary ${quoted(body)}`);
  return parts.join(" \\\n  ");
};

export const publishCommand = (topic, type, body) =>
  curl(`/v1/topics/${encodeURIComponent(topic)}/events`, { method: "POST", headers: { "Content-Type": type }, body });
