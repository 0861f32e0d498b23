// Making and finding elements. Strings become text and never markup.

export const $ = (id) => document.getElementById(id);

// What has to be set as a property, since its attribute is only where it begins.
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "open", "selected", "readOnly"]);

// h makes an element: a tag with classes ("p.muted"), attributes (on… are listeners), and what is in it. What is null or
// false is left out.
export const h = (spec, attributes = {}, ...children) => {
  const [tag, ...classes] = spec.split(".");
  const el = document.createElement(tag);
  if (classes.length) el.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) el[name] = value;
    else el.setAttribute(name, value === true ? "" : value);
  }
  if (tag === "button" && !el.hasAttribute("type")) el.type = "button";
  add(el, ...children);
  return el;
};

// add puts things at an element's end, but for those that are null or false.
export const add = (el, ...children) => el.append(...children.flat(3).filter((c) => c !== null && c !== undefined && c !== false));

let numbered = 0;

// field is a labelled control, what is said about it, and where what is wrong with it goes.
export const field = (label, control, hint) => {
  control.id ||= `field-${++numbered}`;
  const wrong = h("p.wrong", { id: `${control.id}-wrong`, hidden: true });
  const about = hint && h("p.hint", { id: `${control.id}-hint` }, hint);
  control.setAttribute("aria-describedby", about ? `${about.id} ${wrong.id}` : wrong.id);
  const el = h("div.field", {}, h("label", { for: control.id }, label), control, about, wrong);
  el.wrong = (text) => {
    wrong.textContent = text ?? "";
    wrong.hidden = !text;
    if (text) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  return el;
};

export const input = (attributes) => h("input", { spellcheck: "false", autocapitalize: "off", autocomplete: "off", ...attributes });

export const choice = (options, attributes) => h("select", attributes, ...options.map((o) => {
  const [value, text] = Array.isArray(o) ? o : [o, o];
  return h("option", { value, selected: value === attributes?.value }, text);
}));

export const check = (text, attributes) => h("label.check", {}, h("input", { type: "checkbox", ...attributes }), text);

// facts is a list of names and values; those without a value are left out.
export const facts = (pairs) => h("dl.facts", {}, pairs.filter(([, v]) => v !== null && v !== undefined && v !== "")
  .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

export const pill = (kind, text) => h(`span.pill.${kind}`, {}, text);
