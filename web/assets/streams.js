// Who is connected.

import { add, h, pill } from "./dom.js";
import { item, listing } from "./list.js";
import { many, when } from "./text.js";

export const show = async ({ root, signal }) => {
  const list = listing({
    signal, path: "/v1/streams", label: "Open streams, oldest first", empty: "Nobody is listening.",
    row: (s) => item({
      href: `#/topics/${encodeURIComponent(s.topics.join(","))}`, title: s.topics.join(", "),
      mark: s.lag > 0 ? pill("warn", `${many(s.lag, "event")} behind`) : pill("good", "up to date"), side: [h("span.muted", {}, "opened ", when(s.opened_at))],
      about: [[s.address, s.format, s.catching_up && "catching up", s.key && `key ${s.key}`, `cursor ${s.cursor}`].filter(Boolean).join(" · "), s.filter && `filter: ${s.filter}`],
    }),
  });
  add(root, h("div.top", {}, h("h1", {}, "Streams"), h("button.quiet.small", { id: "refresh", onclick: list.reload }, "Refresh")), h("div.card", { id: "streams" }, list.element));
  await list.reload();
};
