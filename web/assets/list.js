// Lists of the API, a page at a time.

import { get, query } from "./api.js";
import { attempt } from "./act.js";
import { h } from "./dom.js";

// listing shows a list. path and what ask returns say what of, row makes an item of each thing, and empty is said when
// there is none. reload shows it as it is now; loaded is called with the things of each page.
export const listing = ({ signal, path, ask = () => ({}), row, empty, label, limit = 50, loaded = () => {} }) => {
  const list = h("ul.rows", { "aria-label": label });
  const none = h("p.empty", { hidden: true }, empty);
  const more = h("button.quiet", { hidden: true, onclick: () => attempt(() => load(false)) }, "Show more");
  const element = h("div.listing", {}, list, none, more);
  let next = null;
  let asked = 0; // only what the last request got is shown
  const load = async (fresh) => {
    const mine = ++asked;
    const page = await get(path + query({ limit, ...ask(), page: fresh ? null : next }), signal);
    if (mine !== asked) return;
    const rows = page.data.map(row);
    if (fresh) list.replaceChildren(...rows);
    else list.append(...rows);
    next = page.next;
    more.hidden = next === null;
    none.hidden = list.children.length > 0;
    list.hidden = list.children.length === 0;
    element.dataset.shown = String(mine);
    loaded(page.data);
  };
  return { element, list, reload: () => load(true) };
};

// item is one row of a list: what it is, more about it, and what can be done with it.
export const item = ({ href, title, mark, about = [], side = [], actions = [], below = null }) => h("li", {},
  h("div.head", {}, href ? h("a.title", { href }, title) : h("span.title", {}, title), mark, h("span.grow"), side, actions),
  about.filter(Boolean).map((line) => h("p.about", {}, line)), below);
