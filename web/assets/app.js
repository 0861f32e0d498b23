// The console's frame: who the page is, where it is, and how to get about by keyboard.

import { attempt } from "./act.js";
import { get } from "./api.js";
import { $, add, h } from "./dom.js";
import { signedIn, signIn, signOut, workIn, workingIn } from "./session.js";

const RETRY_MS = 1_000;

// What there is: its name, the key that leads there after g, who sees it, and the module that shows it. A module's show
// gets the context below.
const VIEWS = {
  overview: { name: "Overview", key: "o", sees: (me) => me.may("subscribe") && me.may("manage") && !me.topics, load: () => import("./overview.js") },
  play: { name: "Playground", key: "p", sees: (me) => me.may("publish"), load: () => import("./play.js") },
  topics: { name: "Topics", key: "t", sees: (me) => me.may("subscribe"), load: () => import("./topics.js") },
  events: { name: "Events", key: "e", sees: (me) => me.may("subscribe"), load: () => import("./events.js") },
  webhooks: { name: "Webhooks", key: "w", sees: (me) => me.may("manage"), load: () => import("./webhooks.js") },
  deliveries: { name: "Deliveries", key: "d", sees: (me) => me.may("manage"), load: () => import("./deliveries.js") },
  streams: { name: "Streams", key: "s", sees: (me) => me.may("manage") && me.kind !== "portal", load: () => import("./streams.js") },
  keys: { name: "Keys", key: "k", sees: (me) => me.may("admin"), load: () => import("./keys.js") },
  tenants: { name: "Tenants", key: "n", sees: (me) => me.runsGateway, load: () => import("./tenants.js") },
  audit: { name: "Audit", key: "a", sees: (me) => me.may("admin"), load: () => import("./audit.js") },
  start: { name: "First steps", sees: (me) => me.may("publish") && me.may("subscribe"), load: () => import("./start.js"), unlisted: true },
};

let me = null;
let leave = new AbortController(); // aborted when the view is left

// state shows how the view's stream is doing; "" where it has none.
const state = (word) => {
  $("state").dataset.state = word;
  $("state").textContent = word;
  $("state").hidden = !word;
};

// locked shows the form for a key, and why: what was signed in with is no good, or nothing was.
const locked = (why) => {
  leave.abort();
  if (signedIn()) {
    signOut();
    $("locked-why").textContent = why;
    $("locked-why").hidden = false;
  }
  $("curl").textContent =
    `curl -N -H "Authorization: Bearer $CARILLON_KEY" '${location.origin}/v1/stream?topic=**'\n` +
    `curl -H "Authorization: Bearer $CARILLON_KEY" -H 'Content-Type: application/json' \\\n` +
    `     -d '{"hello": "world"}' ${location.origin}/v1/topics/demo.hello/events`;
  me = null;
  $("locked").hidden = false;
  $("view").replaceChildren();
  $("nav").hidden = $("sign-out").hidden = $("leave-tenant").hidden = $("metrics-link").hidden = true;
  $("who").textContent = "";
  document.title = "Carillon";
  state("");
};
addEventListener("locked", (e) => locked(e.detail));

$("sign-in").addEventListener("submit", (e) => {
  e.preventDefault();
  signIn($("key").value);
  $("key").value = "";
  begin();
});
$("sign-out").addEventListener("click", () => {
  signOut();
  begin();
});
$("leave-tenant").addEventListener("click", () => {
  workIn("");
  begin();
});
addEventListener("changed", () => begin());

// begin asks who the page is, and shows what that one may use.
const begin = async () => {
  let who;
  try {
    who = await get("/v1/me");
  } catch (e) {
    if (e.status === 401) return; // told by the event
    if (e.status && e.status < 500) {
      locked(e.message);
      return;
    }
    state("reconnecting");
    setTimeout(begin, RETRY_MS);
    return;
  }
  const may = (scope) => who.scopes.includes(scope) || who.scopes.includes("admin");
  me = { ...who, may, runsGateway: may("admin") && who.tenant === "default" };
  if (!me.runsGateway) workIn("");
  $("locked").hidden = $("locked-why").hidden = true;
  $("sign-out").hidden = !signedIn();
  $("leave-tenant").hidden = !workingIn();
  $("metrics-link").hidden = me.kind !== "open"; // a link carries no key
  const until = me.expires_at ? `until ${new Date(me.expires_at).toLocaleString()}` : "";
  const name = me.label ?? { portal: "portal", open: "" }[me.kind] ?? "with a key";
  $("who").textContent = [name, workingIn() && `in ${workingIn()}`, until].filter(Boolean).join(", ");
  $("nav").replaceChildren(h("ul", {}, Object.entries(VIEWS).filter(([, v]) => !v.unlisted && v.sees(me))
    .map(([path, v]) => h("li", {}, h("a", { href: `#/${path}` }, v.name)))));
  $("nav").hidden = false;
  show();
};

// home is the first view that one may see.
const home = () => Object.keys(VIEWS).find((path) => VIEWS[path].sees(me));

let shown = 0; // views so far: a module that comes late is not shown over a later one

const show = async () => {
  if (!me) return;
  const mine = ++shown;
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  let parts;
  try {
    parts = path.split("/").map(decodeURIComponent);
  } catch {
    parts = [""]; // not an address of this page's
  }
  const name = parts[0] || home();
  const view = VIEWS[name]?.sees(me) ? VIEWS[name] : null;
  for (const a of $("nav").querySelectorAll("a")) {
    if (a.hash === `#/${name}`) {
      a.setAttribute("aria-current", "page");
      a.scrollIntoView({ block: "nearest", inline: "center" }); // on a phone they do not all fit
    } else a.removeAttribute("aria-current");
  }
  document.title = `${view?.name ?? "Nothing here"} · Carillon`;
  state("");
  const root = h("div.view", { "data-view": name });
  if (view) {
    const done = await attempt(async () => {
      const module = await view.load();
      if (mine !== shown) return;
      $("view").replaceChildren(root);
      await module.show({ root, me, signal, state: (word) => { if (!signal.aborted) state(word); }, parts: parts.slice(1), query: new URLSearchParams(search) });
    });
    if (!done && !root.querySelector("h1")) root.append(h("h1", {}, view.name), h("p", {}, "This cannot be shown."));
  } else {
    add(root, h("h1", {}, "Nothing here"), h("p", {}, "This address leads nowhere, or to what this key may not see."));
    $("view").replaceChildren(root);
  }
  if (mine !== shown) return;
  root.dataset.address = location.hash;
  root.dataset.ready = "true";
  performance.mark("ready");
  // Whoever came by keyboard or hears the page goes on at its heading.
  if (mine > 1 && !root.contains(document.activeElement)) {
    const heading = root.querySelector("h1");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
};
addEventListener("hashchange", show);
$("skip").addEventListener("click", (e) => {
  e.preventDefault(); // the address is the view's
  $("main").focus();
});

// --- the keyboard ---

const help = () => {
  if (document.querySelector("dialog[open]")) return;
  const line = (keys, what) => h("div", {}, h("dt", {}, keys.map((k) => h("kbd", {}, k))), h("dd", {}, what));
  const dialog = h("dialog", { "aria-label": "Shortcuts", onclose: () => dialog.remove() }, h("h2", {}, "Shortcuts"),
    h("dl.shortcuts", {}, Object.entries(VIEWS).filter(([, v]) => v.key && me && v.sees(me)).map(([, v]) => line(["g", v.key], v.name)),
      line(["/"], "search or filter"), line(["Space"], "pause a stream, and go on"), line(["Ctrl", "Enter"], "send a form"), line(["?"], "this")),
    h("form", { method: "dialog" }, h("div.row.end", {}, h("button.quiet", { type: "submit" }, "Close"))));
  document.body.append(dialog);
  dialog.showModal();
};
$("keys-help").addEventListener("click", help);

let going = 0; // when g was pressed

addEventListener("keydown", (e) => {
  const typing = e.target.closest?.("input, textarea, select");
  if (e.key === "Enter" && (e.ctrlKey || e.metaKey) && typing?.form) {
    e.preventDefault();
    typing.form.requestSubmit();
    return;
  }
  if (typing || e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return;
  const goes = Date.now() - going < 1000;
  going = 0;
  if (goes) {
    const found = Object.entries(VIEWS).find(([, v]) => v.key === e.key && me && v.sees(me));
    if (found) location.hash = `#/${found[0]}`;
  } else if (e.key === "g") going = Date.now();
  else if (e.key === "?") help();
  else if (e.key === "/") {
    const search = document.querySelector("[data-search]");
    if (search) e.preventDefault();
    search?.focus();
  } else if (e.key === " " && !e.target.closest?.("button, a, summary")) {
    const pause = document.querySelector("[data-pause]");
    if (pause) e.preventDefault();
    pause?.click();
  }
});

begin();
