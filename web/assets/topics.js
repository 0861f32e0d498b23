// Topics with what the log holds of them, and the live tail of a topic or a pattern.

import { patterns, patternWrong, query } from "./api.js";
import { submitting } from "./act.js";
import { add, choice, field, h, input } from "./dom.js";
import { item, listing } from "./list.js";
import { tail } from "./tail.js";
import { many, when } from "./text.js";

const address = ({ topics, filter, since }) => `#/topics/${encodeURIComponent(topics.join(","))}${query({ filter, since })}`;

const overview = ({ root, signal }) => {
  const pattern = input({ id: "pattern", class: "mono grow", value: "**", "data-search": true, required: true });
  const box = field("Listen to topics, * and ** as wildcards", pattern);
  const form = h("form.inline", { id: "listen" }, box, h("button", { type: "submit" }, "Listen"));
  submitting(form, () => {
    const topics = patterns(pattern.value);
    const wrong = topics.map((p) => [p, patternWrong(p)]).find(([, w]) => w);
    box.wrong(wrong && `${wrong[0]}: ${wrong[1]}`);
    if (!wrong && topics.length) location.hash = address({ topics });
  });
  const list = listing({
    signal, path: "/v1/topics", label: "Topics, by name", limit: 200, empty: "No topics yet: a topic is there with its first event.",
    row: (t) => item({
      href: address({ topics: [t.topic] }), title: t.topic, side: [h("span.figure", {}, many(t.events, "event")), h("span.muted.fixed", {}, when(t.last.time))],
    }),
  });
  const refresh = h("button.quiet.small", { onclick: list.reload }, "Refresh");
  add(root, h("div.top", {}, h("h1", {}, "Topics"), refresh), h("div.card", {}, form), h("div.card", {}, list.element));
  return list.reload();
};

const SINCE = [["", "from now on"], ["1m", "since 1 minute"], ["10m", "since 10 minutes"], ["1h", "since 1 hour"], ["24h", "since a day"], ["earliest", "all there is"]];

const live = ({ root, signal, state, parts, query: asked }) => {
  const topics = patterns(parts.join("/"));
  const filter = input({ id: "filter", class: "mono", value: asked.get("filter") ?? "", placeholder: "data.total > 100.0", "data-search": true });
  const since = choice(SINCE, { id: "since", value: asked.get("since") ?? "" });
  const form = h("form.inline", { id: "narrow" }, field("Filter, in CEL", filter), field("Begin", since), h("button.quiet", { type: "submit" }, "Apply"));
  const stream = tail({ signal, state });
  const start = () => {
    stream.start({ topics, filter: filter.value.trim(), since: since.value }); // goes on until the view is left
  };
  submitting(form, () => {
    history.replaceState(null, "", address({ topics, filter: filter.value.trim(), since: since.value }));
    start();
  });
  add(root, h("p.crumb", {}, h("a", { href: "#/topics" }, "Topics")), h("div.top", {}, h("h1.mono", {}, topics.join(", ")),
    topics.length === 1 && !topics[0].includes("*") && h("a.small", { href: `#/play?topic=${encodeURIComponent(topics[0])}` }, "Publish"),
    h("a.small", { href: `#/events${query({ topic: topics })}` }, "Search events")), h("div.card", {}, form, stream.element));
  start();
};

export const show = (context) => (context.parts[0] ? live(context) : overview(context));
