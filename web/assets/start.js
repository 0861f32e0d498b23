// First steps: one event, from this page to a stream and to a webhook, in under a minute.

import { call, send } from "./api.js";
import { button, command, secret } from "./act.js";
import { add, field, h, input, pill } from "./dom.js";
import { tail } from "./tail.js";
import { curl, publishCommand } from "./text.js";

const TOPIC = "demo.hello";
const ECHO = "demo.echo"; // where the gateway's own delivery of it goes, as long as it may reach itself
const BODY = '{"hello": "world"}';
const TYPE = "application/json";

export const show = ({ root, me, signal, state }) => {
  const steps = {};
  const step = (name, title, ...content) => {
    const mark = h("span.step", { "aria-hidden": "true" });
    steps[name] = h("section.card.guide", { id: `step-${name}`, "data-done": "false" }, h("h2", {}, mark, title), content);
    return steps[name];
  };
  const done = (name) => { steps[name].dataset.done = "true"; };

  const stream = tail({ signal, state: (word) => {
    state(word);
    if (word === "live") done("listen");
  }, expanded: true, seen: () => done("publish") });
  const publish = (headers = {}) => call(`/v1/topics/${TOPIC}/events`, { method: "POST", headers: { "Content-Type": TYPE, ...headers }, body: BODY });

  const url = input({ id: "hook-url", class: "mono", type: "url", value: me.kind === "open" ? `${location.origin}/v1/topics/${ECHO}/events` : "" });
  const shell = h("div");
  const showShell = () => shell.replaceChildren(command(curl("/v1/webhooks", {
    method: "POST", headers: { "Content-Type": TYPE }, body: JSON.stringify({ url: url.value.trim() || "https://example.com/hook", topics: [TOPIC] }),
  })));
  url.addEventListener("input", showShell, { signal });
  showShell();
  const outcome = h("div", { id: "outcome", role: "status" });
  const register = button("Register and publish once more", async () => {
    const hook = await send("POST", "/v1/webhooks", { url: url.value.trim(), topics: [TOPIC], description: "First steps" });
    outcome.replaceChildren(h("p.muted", {}, "Registered. Waiting for its answer …"));
    try {
      const response = await publish({ Prefer: "wait=10" });
      const answered = response.headers.get("Carillon-Webhook-Id");
      outcome.replaceChildren(h("p", {}, answered ? pill("good", "delivered") : pill("warn", "pending"),
        answered ? ` The webhook answered ${response.status}. ` : " No answer yet: it is tried again by itself. ", h("a", { href: `#/webhooks/${hook.id}` }, "Look at the webhook")));
      if (answered) done("deliver");
    } catch (e) {
      outcome.replaceChildren(h("p", {}, pill("bad", "not delivered"), ` ${e.message} `, h("a", { href: `#/webhooks/${hook.id}` }, "Look at the webhook")));
    }
    if (hook.secret) outcome.append(secret("The webhook’s secret, with which requests are signed", hook.secret));
  }, { kind: "primary", id: "register" });

  add(root, h("h1", {}, "One event, from here to there"),
    h("p.lead", {}, "An event is posted to a topic once. Everybody who listens gets it: streams at once, webhooks signed and retried. Each step works from here, or from a terminal."),
    h("div.columns", {}, h("div.stack", {},
      step("listen", "Listen", h("p", {}, "This page is listening already. Another terminal can as well:"), command(curl("/v1/stream?topic=demo.*", { flags: "-N" }))),
      step("publish", "Publish", h("p", {}, "Post an event, and see it arrive on the right:"), command(publishCommand(TOPIC, TYPE, BODY)),
        button("Publish it from here", publish, { kind: "primary", id: "publish-it" })),
      me.may("manage") && step("deliver", "Deliver", h("p", {}, me.kind === "open"
        ? "A webhook is a URL that gets every event of its topics. No receiver at hand? Let the gateway call itself: this URL posts what it gets to another topic."
        : "A webhook is a URL that gets every event of its topics."),
      field("URL to deliver to", url), shell, register, outcome)),
    h("section.card", { "aria-labelledby": "live-title" }, h("h2", { id: "live-title" }, "Live: demo.*"), stream.element)),
    h("p.muted", {}, "Then: ", h("a", { href: "#/play" }, "play with your own events"), me.may("manage") && [", ", h("a", { href: "#/webhooks" }, "register webhooks")], ", or ", h("a", { href: "/openapi.yaml" }, "read the whole API"), "."));
  stream.start({ topics: ["demo.*"] }); // goes on until the view is left
};
