// Who changed what.

import { Refusal } from "./api.js";
import { submitting } from "./act.js";
import { add, field, h, input, pill } from "./dom.js";
import { item, listing } from "./list.js";
import { clock } from "./text.js";

const LEADS = { webhook: (id) => `#/webhooks/${id}`, key: () => "#/keys", tenant: () => "#/tenants" };

const shown = (v) => (typeof v === "string" ? v : JSON.stringify(v));

const changesOf = (changes) => (changes ?? []).map((c) => (c.hidden ? `${c.field}: changed` : `${c.field}: ${shown(c.old)} → ${shown(c.new)}`)).join("\n");

export const show = async ({ root, signal, query }) => {
  const action = input({ id: "audit-action", class: "mono", value: query.get("action") ?? "", placeholder: "key.created", "data-search": true });
  const subject = input({ id: "audit-subject", class: "mono", value: query.get("subject") ?? "", placeholder: "any" });
  const since = input({ id: "audit-since", class: "mono", placeholder: "7d" });
  const list = listing({
    signal, path: "/v1/audit", label: "Changes, newest first", empty: "No such changes.",
    ask: () => ({ action: action.value.split(/[\s,]+/).filter(Boolean), subject: subject.value.trim(), since: since.value.trim() }),
    row: (e) => item({
      href: LEADS[e.subject.kind]?.(e.subject.id), title: e.action, mark: pill("", `${e.subject.kind} ${e.subject.id.slice(0, 40)}`), side: [h("span.muted", {}, clock(e.time))],
      about: [[e.actor.name ?? e.actor.id, e.actor.kind, e.address].filter(Boolean).join(" · "), changesOf(e.changes)],
    }),
  });
  const form = h("form.inline", { id: "narrow" }, field("Action", action), field("Id of what was changed", subject), field("Since", since), h("button.quiet", { type: "submit" }, "Search"));
  submitting(form, list.reload);
  const card = h("div.card", { id: "audit" }, form, list.element);
  add(root, h("h1", {}, "Audit"), card);
  try {
    await list.reload();
  } catch (e) {
    if (!(e instanceof Refusal) || e.status !== 404) throw e;
    card.replaceChildren(h("p.empty", {}, "This gateway keeps no record of changes."));
  }
};
