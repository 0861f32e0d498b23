// Acting: buttons that ask the gateway for something, what is told about it, and what is asked before.

import { $, h } from "./dom.js";

const READ_MS = 6_000;

let timer = 0;

// tell shows what became of something: for a while if it is good, until it is closed if it is not.
export const tell = (good, text) => {
  clearTimeout(timer);
  const close = h("button.link", { "aria-label": "Close", onclick: () => $("told").replaceChildren() }, "✕");
  $("told").replaceChildren(h(`div.toast.${good ? "good" : "bad"}`, {}, h("p", {}, text), close));
  if (good) timer = setTimeout(() => $("told").replaceChildren(), READ_MS);
};

// attempt does something, and tells what was refused. It returns whether it was done.
export const attempt = async (work) => {
  try {
    await work();
    return true;
  } catch (e) {
    if (e.name === "AbortError" || e.status === 401) return false;
    tell(false, e.message);
    return false;
  }
};

// button does its work when it is pressed, and cannot be pressed again before that is done.
export const button = (text, work, attributes = {}) => {
  const { kind = "quiet", ...rest } = attributes;
  const b = h(`button.${kind}`, { ...rest, onclick: async () => {
    b.disabled = true;
    await attempt(work);
    b.disabled = false;
  } }, text);
  return b;
};

// submitting has a form do its work, in the same way.
export const submitting = (form, work) => form.addEventListener("submit", async (e) => {
  e.preventDefault();
  const b = form.querySelector("button[type=submit]");
  if (b.disabled) return;
  b.disabled = true;
  await attempt(work);
  b.disabled = false;
});

// confirmed asks before what cannot be undone.
export const confirmed = (question, yes, more = null) => new Promise((answer) => {
  const dialog = h("dialog", { "aria-label": question, onclose: () => {
    answer(dialog.returnValue === "yes");
    dialog.remove();
  } }, h("form", { method: "dialog" }, h("p", {}, question), more,
    h("div.row.end", {}, h("button.quiet", { type: "submit", value: "no" }, "Cancel"), h("button.danger", { type: "submit", value: "yes" }, yes))));
  document.body.append(dialog);
  dialog.showModal();
});

const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not allowed, or a page that did not come by TLS
    const area = h("textarea", { value: text, class: "offscreen", "aria-hidden": "true" });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("The browser does not let this page copy.");
  }
};

// copying is a button that copies what text returns.
export const copying = (label, text, kind = "quiet.small") => {
  const b = h(`button.${kind}`, { onclick: () => attempt(async () => {
    await copy(text());
    b.textContent = "Copied";
    setTimeout(() => { b.textContent = label; }, 1500);
  }) }, label);
  return b;
};

// command is a command to copy.
export const command = (text, label = "Command") => h("div.command", {}, h("pre", { tabindex: "0", role: "group", "aria-label": label }, text), copying("Copy", () => text));

// secret is what is shown once.
export const secret = (title, text, close) => h("section.card.once", { role: "alert" }, h("h2", {}, title),
  h("p.muted", {}, "It is not shown again."),
  h("div.row", {}, h("code.grow", { id: "secret" }, text), copying("Copy", () => text), close && h("button.quiet.small", { onclick: close }, "Done")));
