// What the gateway is doing, over the last hour, and what needs attention.

import { get, Refusal } from "./api.js";
import { webhookNames } from "./deliveries.js";
import { chart } from "./chart.js";
import { add, h, pill } from "./dom.js";
import { item } from "./list.js";
import { follow } from "./sse.js";
import { ms, number, when } from "./text.js";

const MOST_POINTS = 720;
const OUTCOMES = { delivered: "good", retrying: "warn", failed: "bad", canceled: "muted" };
const ATTENTION_POINTS = 12; // after so many points what needs attention is asked for again, if no failure had it asked before

export const show = async ({ root, me, signal, state }) => {
  if (me.may("publish")) {
    const topics = await get("/v1/topics?limit=1", signal);
    if (topics.data.length === 0) {
      await (await import("./start.js")).show({ root, me, signal, state });
      return;
    }
  }

  let interval = 5_000;
  let points = [];
  const perSecond = (n) => (n * 1000) / interval;
  const rate = (n) => `${number(n)}/s`;
  const charts = [
    chart({ title: "Events", text: rate, series: [{ name: "", color: "accent", of: (p) => perSecond(p.events) }] }),
    chart({ title: "Deliveries", text: rate, series: Object.entries(OUTCOMES).map(([name, color]) => ({ name, color, of: (p) => perSecond(p.deliveries[name]) })) }),
    chart({ title: "Latency", text: ms, series: [["p50", "accent"], ["p99", "blue"]].map(([name, color]) => ({ name, color, of: (p) => p.latency_ms?.[name] ?? null })) }),
    chart({ title: "Backlog", text: number, series: [{ name: "", color: "accent", of: (p) => p.backlog }] }),
    chart({ title: "Open streams", text: number, series: [{ name: "", color: "accent", of: (p) => p.streams }] }),
  ];
  const draw = () => {
    for (const c of charts) c.draw(points, MOST_POINTS * interval);
    root.dataset.points = String(points.length);
  };
  const problems = h("ul.rows", { id: "attention", "aria-label": "What needs attention" });
  const fine = h("p.empty", { id: "fine" }, "Nothing needs attention.");
  const attention = async () => {
    let now;
    let names;
    try {
      now = await get("/v1/stats", signal);
      names = now.attention.length ? await webhookNames(signal) : new Map();
    } catch {
      return; // the stream says whether the gateway is there
    }
    problems.replaceChildren(...now.attention.map((a) => item({
      href: `#/webhooks/${a.webhook}`, title: names.get(a.webhook) ?? `Webhook ${a.webhook}`, mark: pill("bad", a.problem), side: [h("span.muted", {}, when(a.since))], about: [a.detail],
    })));
    fine.hidden = problems.children.length > 0;
    problems.hidden = !fine.hidden;
  };
  const note = h("p.card", { id: "no-stats", hidden: true }, "This gateway keeps no figures of the last hour. ", h("a", { href: "#/topics" }, "Topics"), " and ", h("a", { href: "#/webhooks" }, "webhooks"), " tell what is going on.");
  const dashboard = h("div.stack", {}, h("section.card", { "aria-labelledby": "attention-title" }, h("h2", { id: "attention-title" }, "Needs attention"), fine, problems),
    h("div.charts", {}, charts.map((c) => c.element)));
  add(root, h("div.top", {}, h("h1", {}, "Overview"), h("a.small", { href: "#/start" }, "First steps")), note, dashboard);
  draw();

  let since = 0; // points since what needs attention was asked for
  const listen = async () => {
    try {
      await follow("/v1/stats/stream", { signal, state, message: ({ event, data }) => {
        const told = JSON.parse(data);
        if (event === "history") {
          interval = told.interval_ms;
          points = told.points.slice(-MOST_POINTS);
          attention();
        } else if (event === "point") {
          points.push(told);
          if (points.length > MOST_POINTS) points.shift();
          const { retrying, failed } = told.deliveries;
          if (++since >= ATTENTION_POINTS || retrying + failed > 0) {
            since = 0;
            attention();
          }
        } else {
          // It comes back by itself, and is let in when there is room.
          if (told.status === "full") state("full");
          return;
        }
        draw();
      } });
    } catch (e) {
      if (!(e instanceof Refusal) || e.status === 401) return;
      state("");
      note.hidden = e.status !== 404;
      dashboard.hidden = true;
      if (e.status !== 404) {
        add(root, h("p.card.bad", { role: "alert" }, e.message));
      }
    }
  };
  listen(); // goes on until the view is left
};
