"use strict";
// Charts: each a function from plain numbers to an SVG of Observable Plot.

const DASHES = ["", "6 3", "2 2", "8 3 2 3", "1 3", "10 3"];
const HEIGHT = 210, MARGINS = { marginLeft: 46, marginBottom: 34, marginTop: 24, marginRight: 12 };

/** Colour and dash of a head, by its place among the heads of the study. */
function headLook(place) {
  return { stroke: `var(--head-${place % 6})`, dash: DASHES[place % DASHES.length] };
}

/** Scores of all heads over the removed share; the explaining head is thick. lines: [{name, place, own, values}]. */
function scoreChart(lines, fraction, step, label, domain, width) {
  const marks = [Plot.ruleX([fraction[step]], { stroke: "currentColor", strokeOpacity: 0.5 })];
  for (const { place, own, values } of [...lines].sort((a, b) => a.own - b.own)) {
    const look = headLook(place), points = fraction.map((x, i) => ({ x, y: values[i] })).filter((point) => Number.isFinite(point.y));
    marks.push(Plot.line(points, { x: "x", y: "y", stroke: look.stroke, strokeWidth: own ? 2.6 : 1.4, strokeDasharray: look.dash }));
    const now = values[step];
    if (Number.isFinite(now)) marks.push(Plot.dot([{ x: fraction[step], y: now }], { x: "x", y: "y", fill: look.stroke, stroke: "var(--ground)", r: own ? 5 : 3.5 }));
  }
  return plotted(marks, "removed share", label, domain, width);
}

/** One distance over the removed share, and what 95 % of the clean test images do not exceed, where that is known. */
function distanceChart(values, fraction, step, label, limit, domain, width) {
  const points = fraction.map((x, i) => ({ x, y: values[i] })).filter((point) => Number.isFinite(point.y));
  const marks = [Plot.ruleX([fraction[step]], { stroke: "currentColor", strokeOpacity: 0.5 })];
  if (Number.isFinite(limit)) {
    marks.push(Plot.ruleY([limit], { stroke: "var(--mark)", strokeDasharray: "4 3" }));
    marks.push(Plot.text([[0.99, limit]], { text: () => "95 % of clean images", textAnchor: "end", dy: -7, fill: "var(--mark)" }));
  }
  marks.push(Plot.line(points, { x: "x", y: "y", stroke: "var(--accent)", strokeWidth: 2 }));
  if (Number.isFinite(values[step])) marks.push(Plot.dot([{ x: fraction[step], y: values[step] }], { x: "x", y: "y", fill: "var(--accent)", stroke: "var(--ground)", r: 5 }));
  return plotted(marks, "removed share", label, domain, width);
}

function plotted(marks, xLabel, yLabel, domain, width) {
  return Plot.plot({
    width, height: HEIGHT, ...MARGINS, style: { background: "none", color: "currentColor" },
    x: { domain: [0, 1], label: xLabel, ticks: 5 }, y: { domain, label: yLabel, ticks: 5, grid: true, nice: true }, marks,
  });
}

/** The plane of the embeddings: classes, the path so far and to come. points: [{x, y, label}], path: [{x, y}] or null. */
function planeChart({ points, medians, clean, path, step, target, truth, classes, shares }, width) {
  const groupOf = (label) => (label === target ? "target" : label === truth ? "truth" : "other");
  const fills = { target: "var(--head-0)", truth: "var(--head-1)", other: "var(--cloud)" };
  const shown = [...points].sort((a, b) => (groupOf(a.label) !== "other") - (groupOf(b.label) !== "other"));
  const marks = [
    Plot.dot(shown, { x: "x", y: "y", fill: (d) => fills[groupOf(d.label)], r: 1.8, fillOpacity: 0.65 }),
    Plot.text(medians, { x: "x", y: "y", text: (d) => classes[d.label], fill: "currentColor", stroke: "var(--ground)", strokeWidth: 4, fontWeight: 600 }),
  ];
  if (path) {
    marks.push(Plot.line(path.slice(step), { x: "x", y: "y", stroke: "currentColor", strokeOpacity: 0.35, strokeDasharray: "3 3" }));
    marks.push(Plot.line(path.slice(0, step + 1), { x: "x", y: "y", stroke: "currentColor", strokeWidth: 2 }));
    marks.push(Plot.dot([path.at(-1)], { x: "x", y: "y", symbol: "times", stroke: "currentColor", r: 5 }));
    marks.push(Plot.dot([path[step]], { x: "x", y: "y", fill: "var(--accent)", stroke: "var(--ground)", r: 6 }));
  }
  marks.push(Plot.dot([clean], { x: "x", y: "y", stroke: "currentColor", strokeWidth: 2, r: 5 }));
  const axis = (number) => `PC ${number} (${Math.round(100 * shares[number - 1])} %)`;
  return Plot.plot({
    width, height: Math.max(HEIGHT, width * 0.86), ...MARGINS, style: { background: "none", color: "currentColor" },
    x: { label: axis(1), ticks: 4 }, y: { label: axis(2), ticks: 4 }, marks,
  });
}
