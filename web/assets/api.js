// The gateway's API, as fetch with its refusals told in words.

import { ask } from "./session.js";

// Refusal is an answer that was not a success. status is 0 where the gateway could not be reached.
export class Refusal extends Error {
  constructor(status, message, errors = []) {
    super(message);
    this.status = status;
    this.errors = errors; // [{field, detail}], RFC 9457 as the gateway extends it
  }
}

// refusal reads a problem document (RFC 9457), or whatever came instead.
export const refusal = async (response) => {
  const text = await response.text();
  try {
    const p = JSON.parse(text);
    if (p.title) {
      const lines = [p.detail || p.title, ...(p.errors ?? []).map((e) => `${e.field}: ${e.detail}`)];
      return new Refusal(response.status, lines.join("\n"), p.errors);
    }
  } catch { /* not JSON: told as it came */ }
  return new Refusal(response.status, text || response.statusText);
};

// call asks, and throws a Refusal where that was no success. A 401 is also told to the page, which then asks for a key.
export const call = async (path, init) => {
  let response;
  try {
    response = await ask(path, init);
  } catch (e) {
    if (e.name === "AbortError") throw e; // the view is gone, and so is who would be told
    throw new Refusal(0, "The gateway cannot be reached.");
  }
  if (response.ok) return response;
  const refused = await refusal(response);
  if (refused.status === 401) dispatchEvent(new CustomEvent("locked", { detail: refused.message }));
  throw refused;
};

export const get = async (path, signal) => (await call(path, { signal })).json();

// send sends JSON and returns the answer's, or null where it has none.
export const send = async (method, path, body, init = {}) => {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await call(path, { ...init, method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
};

// query makes a query string; empty values are left out, and lists repeat their name.
export const query = (parameters) => {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const v of Array.isArray(value) ? value : [value]) if (v !== undefined && v !== null && v !== "") q.append(name, v);
  }
  const text = q.toString();
  return text ? `?${text}` : "";
};

// patterns splits what was typed as a list of patterns.
export const patterns = (text) => text.split(/[\s,]+/).filter(Boolean);

// patternWrong says what is wrong with a pattern, as the gateway would, or null.
export const patternWrong = (pattern) => {
  const tokens = pattern.split(".");
  if (pattern.length > 255) return "is longer than 255 bytes";
  if (tokens.length > 16) return "has more than 16 tokens";
  for (const [i, token] of tokens.entries()) {
    if (token === "**") {
      if (i < tokens.length - 1) return "** may only be the last token";
    } else if (token === "") return `token ${i + 1} is empty`;
    else if (token !== "*" && !/^[A-Za-z0-9_-]+$/.test(token)) return `token ${i + 1} may have A-Z a-z 0-9 _ - only, or be * or **`;
  }
  return null;
};
