// Line charts of the last hour, drawn as SVG.

import { h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 120;
const HEADROOM = 1.1; // above the highest point, where the scale is written

const svg = (tag, attributes, ...children) => {
  const el = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, value);
  el.append(...children);
  return el;
};

// nice is a round number that is not less.
const nice = (n) => {
  if (n <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 5, 10].find((f) => f * power >= n) * power;
};

// chart is one figure. series are {name, color, of(point)}, where of returns null if nothing is known; text makes a value
// readable. draw shows points, oldest first, over a span of ms that ends with the last one.
export const chart = ({ title, series, text }) => {
  const lines = series.map((s) => svg("path", { class: `line line-${s.color}` }));
  const area = svg("path", { class: "area" });
  const at = svg("line", { class: "at", y1: 0, y2: HEIGHT, visibility: "hidden" });
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 }), area, ...lines, at);
  const top = h("span.scale");
  const values = series.map((s) => h("b", {}, "–"));
  const moment = h("span.muted", {}, "");
  const legend = h("p.legend", {}, series.map((s, i) => h("span", {}, h(`i.key-${s.color}`, { "aria-hidden": "true" }), s.name && `${s.name} `, values[i])), moment);
  const element = h("figure.card.chart", {}, h("figcaption", {}, h("h2", {}, title), legend), h("div.plot", {}, top, picture),
    h("p.axis", { "aria-hidden": "true" }, h("span", {}, "1 h ago"), h("span", {}, "now")));
  let points = [];
  let place = () => 0;
  const shown = (v) => (v === null || v === undefined ? "–" : text(v));
  const read = (point) => {
    series.forEach((s, i) => { values[i].textContent = point ? shown(s.of(point)) : "–"; });
    moment.textContent = point && point !== points.at(-1) ? new Date(point.time).toLocaleTimeString() : "";
  };
  const draw = (all, spanMs) => {
    points = all;
    const end = points.length ? Date.parse(points.at(-1).time) : 0;
    place = (p) => WIDTH - ((end - Date.parse(p.time)) / spanMs) * WIDTH;
    let highest = 0;
    for (const p of points) for (const s of series) highest = Math.max(highest, s.of(p) ?? 0);
    const scale = nice(highest * HEADROOM);
    top.textContent = text(scale);
    series.forEach((s, i) => {
      let d = "";
      let pen = false; // down, unless something is not known
      for (const p of points) {
        const v = s.of(p);
        if (v === null || v === undefined) {
          pen = false;
          continue;
        }
        d += `${pen ? "L" : "M"}${place(p).toFixed(1)} ${(HEIGHT - (v / scale) * (HEIGHT - 4) - 1).toFixed(1)}`;
        pen = true;
      }
      lines[i].setAttribute("d", d);
      if (i === 0 && series.length === 1 && points.length > 1) area.setAttribute("d", `${d}L${WIDTH} ${HEIGHT}L${place(points[0]).toFixed(1)} ${HEIGHT}Z`);
    });
    const last = points.at(-1);
    picture.setAttribute("aria-label", `${title}, the last hour: ${series.map((s) => `${s.name} ${last ? shown(s.of(last)) : "not known"}`.trim()).join(", ")}; the scale ends at ${text(scale)}`);
    read(last);
  };
  picture.addEventListener("pointermove", (e) => {
    if (!points.length) return;
    const box = picture.getBoundingClientRect();
    const x = ((e.clientX - box.left) / box.width) * WIDTH;
    const nearest = points.reduce((a, b) => (Math.abs(place(b) - x) < Math.abs(place(a) - x) ? b : a));
    at.setAttribute("x1", place(nearest));
    at.setAttribute("x2", place(nearest));
    at.setAttribute("visibility", "visible");
    read(nearest);
  });
  picture.addEventListener("pointerleave", () => {
    at.setAttribute("visibility", "hidden");
    read(points.at(-1));
  });
  return { element, draw };
};
