// Tenants: made, bounded and deleted, by who runs the whole gateway.

import { send } from "./api.js";
import { button, confirmed, submitting, tell } from "./act.js";
import { add, field, h, input, pill } from "./dom.js";
import { item, listing } from "./list.js";
import { changed, workIn, workingIn } from "./session.js";
import { bytes, many, when } from "./text.js";

const QUOTAS = [["events_per_second", "Events per second"], ["stored_bytes", "Stored bytes"], ["webhooks", "Webhooks"], ["streams", "Streams"]];

// quotaFields are the four bounds as fields, and read returns them; what is empty is no bound.
const quotaFields = (prefix, quotas = {}) => {
  const inputs = QUOTAS.map(([name]) => input({ id: `${prefix}-${name}`, type: "number", min: "0", value: quotas[name] ? String(quotas[name]) : "", placeholder: "no bound" }));
  return { elements: QUOTAS.map(([, label], i) => field(label, inputs[i])), read: () => Object.fromEntries(QUOTAS.map(([name], i) => [name, Number(inputs[i].value) || 0])) };
};

const of = (used, bound, text) => `${text(used)}${bound ? ` of ${text(bound)}` : ""}`;

export const show = async ({ root, signal }) => {
  const row = (t) => {
    const path = `/v1/tenants/${encodeURIComponent(t.name)}`;
    const below = h("div", {});
    const bounds = button("Quotas", () => {
      if (below.children.length) {
        below.replaceChildren();
        return;
      }
      const { elements, read } = quotaFields(`quota-${t.name}`, t.quotas);
      const form = h("form.inline", { "aria-label": `Quotas of ${t.name}` }, elements, h("button", { type: "submit" }, "Save"));
      submitting(form, async () => {
        await send("PATCH", path, { quotas: read() });
        tell(true, "Saved.");
        await list.reload();
      });
      below.replaceChildren(form);
    }, { kind: "quiet.small" });
    return item({
      title: t.name, mark: t.name === (workingIn() || "default") && pill("good", "you are here"), side: [h("span.muted", {}, "created ", when(t.created_at))],
      actions: [bounds, button("Work in it", () => {
        workIn(t.name === "default" ? "" : t.name);
        location.hash = "#/overview";
        changed();
      }, { kind: "quiet.small" }), t.name !== "default" && button("Delete", async () => {
        if (!await confirmed(`Delete the tenant “${t.name}”, with its events, webhooks and keys?`, "Delete")) return;
        await send("DELETE", path);
        if (workingIn() === t.name) {
          workIn("");
          changed();
        }
        await list.reload();
      }, { kind: "quiet.small" })],
      about: [[of(t.usage.stored_bytes, t.quotas.stored_bytes, bytes), of(t.usage.webhooks, t.quotas.webhooks, (n) => many(n, "webhook")), of(t.usage.streams, t.quotas.streams, (n) => many(n, "stream")),
        t.quotas.events_per_second && `at most ${many(t.quotas.events_per_second, "event")}/s`].filter(Boolean).join(" · ")], below,
    });
  };
  const list = listing({ signal, path: "/v1/tenants", label: "Tenants", empty: "No tenants.", row });
  const name = input({ id: "tenant-name", class: "mono", required: true, maxlength: "63", placeholder: "shop" });
  const nameField = field("Name: a-z, 0-9 and -", name);
  name.addEventListener("input", () => nameField.wrong(!name.value || /^[a-z0-9][a-z0-9-]{0,62}$/.test(name.value) ? null : "may have a-z 0-9 - only, and not begin with -"));
  const quotas = quotaFields("new");
  const form = h("form.card", { id: "new-tenant", "aria-labelledby": "new-tenant-title" }, h("h2", { id: "new-tenant-title" }, "New tenant"), nameField,
    h("details", {}, h("summary", {}, "Quotas"), quotas.elements), h("div.row", {}, h("button", { type: "submit" }, "Create")));
  submitting(form, async () => {
    await send("POST", "/v1/tenants", { name: name.value.trim(), quotas: quotas.read() });
    form.reset();
    await list.reload();
  });
  add(root, h("h1", {}, "Tenants"), h("div.columns", {}, form, h("div.card", { id: "tenants" }, list.element)));
  await list.reload();
};
