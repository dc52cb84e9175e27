// Charts as SVG, with their labels as text beside them.
//
//   lineChart({ label, series: [{ name, values, tone }], start, stepS, format, markers: [{ at, text }], height })
//   barChart({ label, values, start, stepS, format, markers, tone, height })
//   spark({ label, values, tone, format, floor })   a line without axes, for stat(); floor is the value at its bottom, 0 by default
//
// values are numbers or null, one for each step of stepS seconds from start (a time); null is a gap. tone is accent, ok, wait, bad or
// dim. format writes a value: see format.js. The label of a chart is read by screen readers with its last, lowest and highest value.

import { h, s } from "./ui.js";
import { clock, millis, num } from "./format.js";

const known = (values) => values.filter((v) => v !== null && v !== undefined);

function summary(label, values, format) {
  const list = known(values);
  if (list.length === 0) return `${label}: no data yet`;
  return `${label}: now ${format(values.findLast((v) => v !== null && v !== undefined))}, lowest ${format(Math.min(...list))}, highest ${format(Math.max(...list))}`;
}

// ceiling is the first of 1, 2 and 5 times a power of ten that is not below n.
function ceiling(n) {
  if (!(n > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 5, 10].map((m) => m * power).find((v) => v >= n * 0.9999);
}

function path(values, top, floor = 0) {
  const last = Math.max(values.length - 1, 1);
  let text = "", gap = true;
  values.forEach((v, i) => {
    if (v === null || v === undefined) {
      gap = true;
      return;
    }
    text += `${gap ? "M" : "L"}${((i / last) * 100).toFixed(2)} ${(100 - ((v - floor) / (top - floor)) * 100).toFixed(2)}`;
    gap = false;
  });
  return text;
}

export function spark({ label, values, tone = "accent", format = num, floor = 0 }) {
  const top = floor ? Math.max(...known(values), floor + 1e-9) : ceiling(Math.max(0, ...known(values)));
  return s("svg", { class: "spark tone-" + tone, viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": summary(label, values, format) },
    s("line", { class: "base", x1: 0, x2: 100, y1: 100, y2: 100 }), s("path", { class: "series", d: path(values, top, floor) }));
}

// frame puts the labels of both axes, the markers and the value under the pointer around an SVG.
function frame({ label, values, top, start, stepS, format, markers = [], height, series, bars }, ...marks) {
  const steps = Math.max((values[0]?.length ?? 1) - (bars ? 0 : 1), 1); // a bar has width
  const from = millis(start), length = steps * stepS * 1000;
  const share = (at) => (millis(at) - from) / length;
  const plot = h("div", { class: "plot", vars: height ? { "--height": height + "px" } : {}, on: {
    pointermove: (e) => point(e.currentTarget, e.clientX),
    pointerleave: (e) => e.currentTarget.querySelectorAll(".cursor, .readout").forEach((el) => el.remove()),
  } },
  s("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": values.map((v, i) => summary(series?.[i]?.name ? `${label}, ${series[i].name}` : label, v, format)).join("; ") },
    [0, 50, 100].map((y) => s("line", { class: "gridline", x1: 0, x2: 100, y1: y, y2: y })), marks),
  markers.filter((m) => share(m.at) >= 0 && share(m.at) <= 1).map((m) =>
    h("div", { class: "marker" + (share(m.at) > 0.75 ? " flip" : ""), vars: { "--x": share(m.at) * 100 + "%" }, title: `${m.text}, ${clock(m.at)}` }, h("span", {}, m.text))));
  const point = (el, x) => {
    const box = el.getBoundingClientRect();
    const of = Math.min(Math.max((x - box.left) / box.width, 0), 1);
    const step = Math.min(bars ? Math.floor(of * steps) : Math.round(of * steps), values[0].length - 1);
    const text = values.map((v, i) => `${series?.[i]?.name ? series[i].name + " " : ""}${format(v[step])}`).join(" · ");
    el.querySelectorAll(".cursor, .readout").forEach((old) => old.remove());
    el.append(h("div", { class: "cursor", vars: { "--x": of * 100 + "%" } }),
      h("div", { class: "readout" + (of > 0.5 ? " flip" : ""), vars: { "--x": of * 100 + "%" } }, `${clock(from + step * stepS * 1000)}  ${text}`));
  };
  return h("figure", { class: "chart" },
    h("div", { class: "y", "aria-hidden": "true" }, h("span", {}, format(top)), h("span", {}, format(0))), plot,
    h("div", { class: "x", "aria-hidden": "true" }, h("span", {}, clock(from)), h("span", {}, clock(from + length / 2)), h("span", {}, clock(from + length))));
}

export function lineChart(options) {
  const { series, format = num } = options;
  const values = series.map((line) => line.values);
  const top = ceiling(Math.max(0, ...values.flatMap(known)));
  const chart = frame({ ...options, format, values, top }, series.map((line) => s("path", { class: "series tone-" + (line.tone ?? "accent"), d: path(line.values, top) })));
  if (series.length < 2) return chart;
  return h("div", {}, h("div", { class: "legend" }, series.map((line) => h("span", { class: "tone-" + (line.tone ?? "accent") }, h("i", {}), line.name))), chart);
}

export function barChart(options) {
  const { values, tone = "accent", format = num } = options;
  const top = ceiling(Math.max(0, ...known(values)));
  const width = 100 / Math.max(values.length, 1);
  return frame({ ...options, format, values: [values], top, bars: true }, values.map((v, i) => (v > 0
    ? s("rect", { class: "barmark tone-" + tone, x: (i + 0.1) * width, width: width * 0.8, y: 100 - (v / top) * 100, height: (v / top) * 100 }) : null)));
}
