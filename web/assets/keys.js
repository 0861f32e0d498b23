// Keys: made, shown once, and revoked.

import { patterns, Refusal, send } from "./api.js";
import { button, confirmed, secret, submitting } from "./act.js";
import { add, check, choice, field, h, input, pill } from "./dom.js";
import { item, listing } from "./list.js";
import { changed, signIn, workingIn } from "./session.js";
import { when } from "./text.js";

const SCOPES = ["publish", "subscribe", "manage", "admin"];
const EXPIRES = [["", "never"], ["24h", "in a day"], ["168h", "in 7 days"], ["720h", "in 30 days"], ["8760h", "in a year"]];

export const show = async ({ root, me, signal }) => {
  const list = listing({
    signal, path: "/v1/keys", label: "Keys", empty: me.kind === "open" ? "No keys: whoever can connect from this machine may do everything." : "No keys are stored.",
    row: (k) => {
      const over = k.revoked_at ? "revoked" : k.expires_at && Date.parse(k.expires_at) < Date.now() ? "expired" : null;
      return item({
        title: k.name, mark: [over ? pill("bad", over) : null, k.scopes.map((s) => pill("", s))],
        side: [h("span.muted", {}, k.last_used_at ? ["used ", when(k.last_used_at)] : "never used")],
        actions: [!over && button("Revoke", async () => {
          if (!await confirmed(`Revoke the key “${k.name}”? Whoever uses it is refused at once.`, "Revoke")) return;
          await send("DELETE", `/v1/keys/${k.id}`);
          await list.reload();
        }, { kind: "quiet.small" })],
        about: [k.topics ? k.topics.join(", ") : "every topic", h("span", {}, `${k.id} · created `, when(k.created_at), k.expires_at && [" · expires ", when(k.expires_at)])],
      });
    },
  });
  const name = input({ id: "key-name", required: true, maxlength: "100" });
  const scopes = SCOPES.map((s) => [s, check(s, { checked: me.kind === "open" && s === "admin", "data-scope": s })]);
  const topics = input({ id: "key-topics", class: "mono", placeholder: "every topic" });
  const expires = choice(EXPIRES, { id: "key-expires" });
  const fields = { name: field("Name", name), topics: field("Topics that it reaches", topics) };
  const made = h("div", {});
  const rest = h("p.wrong", { role: "alert" });
  const form = h("form.card", { id: "new-key", "aria-labelledby": "new-key-title" }, h("h2", { id: "new-key-title" }, "New key"),
    me.kind === "open" && h("p.muted", {}, "The first key closes the gateway: from then on it asks everybody for one, this page too. So it must be an admin’s."),
    fields.name, h("fieldset", {}, h("legend", {}, "What it may do"), scopes.map(([, el]) => el)), fields.topics, field("Expires", expires), rest, h("div.row", {}, h("button", { type: "submit" }, "Create")));
  submitting(form, async () => {
    for (const el of Object.values(fields)) el.wrong(null);
    rest.textContent = "";
    let key;
    try {
      key = await send("POST", "/v1/keys", {
        name: name.value.trim(), scopes: scopes.filter(([, el]) => el.firstChild.checked).map(([s]) => s),
        topics: patterns(topics.value).length ? patterns(topics.value) : null, expires_in: expires.value || null,
      });
    } catch (e) {
      if (!(e instanceof Refusal) || e.status === 401) throw e;
      const others = e.errors.filter(({ field: f, detail }) => {
        const [own] = f.split(/[.[]/);
        fields[own]?.wrong(detail);
        return !fields[own];
      });
      rest.textContent = others.length ? others.map((o) => `${o.field}: ${o.detail}`).join("\n") : e.errors.length ? "" : e.message;
      return;
    }
    // Nobody is let in without a key now, and this page made the only one.
    if (me.kind === "open" && !workingIn()) signIn(key.key);
    made.replaceChildren(secret(me.kind === "open" ? `The key “${key.name}”. This tab uses it now` : `The key “${key.name}”`, key.key, () => {
      made.replaceChildren();
      if (me.kind === "open") changed();
    }));
    form.reset();
    await list.reload();
  });
  add(root, h("h1", {}, "Keys"), made, h("div.columns", {}, form, h("div.card", { id: "keys" }, list.element)));
  await list.reload();
};
