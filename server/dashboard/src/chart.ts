// Charts as SVG, drawn for the width that there is, each with its figures in a table and with the call that made it.
import { type Child, drawn, h, s } from "./dom";
import { count, figure } from "./format";
import { type Source, sourceLine, table } from "./parts";

export interface Point {
  x: number;
  y: number;
}

export interface Series {
  name: string;
  kind: "line" | "steps" | "columns";
  /** Of the palette of dashboard.css, from 1. */
  colour: 1 | 2 | 3 | 4;
  dashed?: boolean;
  points: Point[];
}

export interface Chart {
  id: string;
  title: string;
  /** What one sees in it, in a sentence. */
  reading: Child;
  source: Source;
  across: string;
  up: string;
  format?: (value: number) => string;
  series: Series[];
  /** Lines across at a value. */
  limits?: { name: string; at: number; strict: boolean }[];
  top?: number;
  /** What is counted has no halves. */
  whole?: boolean;
}

// At the size that text has on a screen of common width; a chart grows as its text does.
const HEIGHT = 240;
const MARGIN = { top: 22, right: 14, bottom: 40 };
const GLYPH = 7.2; // of a tick's text, at most

/** How much larger than that text is here. */
function scale(): number {
  return Math.max(1, parseFloat(getComputedStyle(document.documentElement).fontSize) / 16);
}

/** Round values from `least` to `most` or beyond, about `wanted` of them, in steps of 1, 2 or 5. */
export function ticks(most: number, wanted: number, least = 0): number[] {
  if (most <= least) return [least];
  const rough = (most - least) / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= rough * 0.999) ?? 10);
  const list: number[] = [];
  for (let at = Math.ceil(least / step - 1e-9); ; ++at) {
    list.push(Number((at * step).toPrecision(12)));
    if (at * step >= most - step * 1e-9) return list;
  }
}

interface Frame {
  left: number;
  right: number;
  width: number;
  height: number;
  scale: number;
  x: (value: number) => number;
  y: (value: number) => number;
  column: number;
  rows: number[];
  marks: number[];
}

function extent(chart: Chart): { first: number; last: number; top: number } {
  const all = chart.series.flatMap((each) => each.points);
  const xs = all.map((point) => point.x);
  const highest = Math.max(0, chart.top ?? 0, ...all.map((point) => point.y),
      ...(chart.limits ?? []).map((each) => each.at));
  return { first: Math.min(...xs), last: Math.max(...xs), top: highest > 0 ? highest : 1 };
}

function frameOf(chart: Chart, width: number): Frame {
  const format = chart.format ?? figure;
  const { first, last, top } = extent(chart);
  const rows = ticks(top, 4).filter((value) => !chart.whole || Number.isInteger(value));
  const highest = rows[rows.length - 1] ?? top;
  const by = scale();
  const height = HEIGHT * by;
  const left = Math.ceil((Math.max(...rows.map((value) => format(value).length)) * GLYPH + 12) * by);
  const right = width - MARGIN.right * by;
  const inner = right - left;
  const half = chart.series.some((each) => each.kind === "columns") || first === last ? 0.5 : 0;
  const across = last - first + 2 * half;
  const column = Math.max(1, Math.min(44, (inner / across) * 0.72));
  const wanted = Math.max(2, Math.floor(inner / (64 * by)));
  const marks = ticks(last, wanted,
      first).filter((value) => Number.isInteger(value) && value >= first && value <= last);
  return {
    left, right, width, height, scale: by, column, rows, marks,
    x: (value) => left + ((value - first + half) / across) * inner,
    y: (value) => (MARGIN.top + (1 - value / highest) * (HEIGHT - MARGIN.top - MARGIN.bottom)) * by,
  };
}

function grid(chart: Chart, frame: Frame): SVGElement[] {
  const format = chart.format ?? figure;
  const base = frame.y(0);
  return [
    ...frame.rows.flatMap((value) => [
      s("line", { class: value === 0 ? "axis"
          : "grid", x1: frame.left, x2: frame.right, y1: frame.y(value),
                  y2: frame.y(value) }),
      s("text", { class: "tick", x: frame.left - 8, y: frame.y(value) + 4 * frame.scale, "text-anchor": "end" },
        format(value)),
    ]),
    ...frame.marks.map((value) =>
      s("text", { class: "tick", x: frame.x(value), y: base + 18 * frame.scale, "text-anchor": "middle" },
        String(value))),
    s("text", { class: "tick name", x: frame.left, y: 11 * frame.scale }, chart.up),
    s("text", { class: "tick name", x: frame.right, y: frame.height - 4, "text-anchor": "end" }, chart.across),
  ];
}

const r = (value: number): string => value.toFixed(1);

function path(series: Series, frame: Frame): string {
  return series.points.map((point, at) => {
    if (at === 0) return `M${r(frame.x(point.x))} ${r(frame.y(point.y))}`;
    const along = series.kind === "steps" ? `H${r(frame.x(point.x))}V` : `L${r(frame.x(point.x))} `;
    return along + r(frame.y(point.y));
  }).join("");
}

function columns(series: Series, frame: Frame): SVGElement[] {
  return series.points.map((point) => {
    const y = frame.y(point.y);
    return s("rect", { class: `fill-${series.colour}`, x: r(frame.x(point.x) - frame.column / 2), y: r(y), rx: 2,
                       width: r(frame.column), height: r(Math.max(frame.y(0) - y, 0)) });
  });
}

function shapes(series: Series, frame: Frame): SVGElement[] {
  if (series.kind === "columns") return columns(series, frame);
  const line = s("path", { class: `line-${series.colour}${series.dashed ? " dashed" : ""}`, d: path(series, frame) });
  if (series.dashed || series.points.length > 40) return [line];
  return [line, ...series.points.map((point) =>
    s("circle", { class: `fill-${series.colour}`, cx: r(frame.x(point.x)), cy: r(frame.y(point.y)), r: 3.5 }))];
}

function limits(chart: Chart, frame: Frame): SVGElement[] {
  return (chart.limits ?? []).flatMap((limit) => [
    s("line", { class: limit.strict ? "limit strict" : "limit", x1: frame.left, x2: frame.right,
                y1: frame.y(limit.at), y2: frame.y(limit.at) }),
    s("text", { class: limit.strict ? "limit-name strict" : "limit-name", x: frame.right,
                y: frame.y(limit.at) - 5, "text-anchor": "end" }, limit.name),
  ]);
}

function nearest(chart: Chart, frame: Frame, at: number): number {
  const xs = chart.series.flatMap((each) => each.points.map((point) => point.x));
  return xs.reduce((best, x) => (Math.abs(frame.x(x) - at) < Math.abs(frame.x(best) - at) ? x : best), xs[0] ?? 0);
}

function valuesAt(chart: Chart, x: number): [Series, number][] {
  return chart.series.flatMap((each): [Series, number][] => {
    const point = each.points.find((candidate) => candidate.x === x);
    return point ? [[each, point.y]] : [];
  });
}

// Which values a pointer is at. For whom a pointer is nothing there is the table.
function follow(chart: Chart, frame: Frame, node: HTMLElement, picture: SVGElement): void {
  const format = chart.format ?? figure;
  const hair = s("line", { class: "hair", y1: MARGIN.top * frame.scale, y2: frame.y(0), visibility: "hidden" });
  const tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  picture.append(hair);
  node.append(tip);
  node.onpointerleave = () => {
    tip.hidden = true;
    hair.setAttribute("visibility", "hidden");
  };
  node.onpointermove = (event) => {
    const x = nearest(chart, frame, event.clientX - node.getBoundingClientRect().left);
    hair.setAttribute("x1", r(frame.x(x)));
    hair.setAttribute("x2", r(frame.x(x)));
    hair.setAttribute("visibility", "visible");
    tip.replaceChildren(h("strong", {}, `${chart.across} ${x}`), ...valuesAt(chart, x).map(([series, y]) =>
      h("span", {}, swatch(series), `${series.name}: ${format(y)}`)));
    tip.hidden = false;
    const most = frame.width - tip.offsetWidth - 4;
    tip.style.left = `${Math.max(4, Math.min(frame.x(x) + 10, most))}px`;
  };
}

function swatch(series: Series): SVGElement {
  const shape = series.kind === "columns"
    ? s("rect", { class: `fill-${series.colour}`, x: 2, y: 1, width: 10, height: 10, rx: 2 })
    : s("line", { class: `line-${series.colour}${series.dashed ? " dashed" : ""}`, x1: 0, x2: 14, y1: 6, y2: 6 });
  return s("svg", { class: "swatch", viewBox: "0 0 14 12", "aria-hidden": "true" }, shape);
}

function draw(chart: Chart): (node: HTMLElement, width: number) => void {
  return (node, width) => {
    const frame = frameOf(chart, width);
    const picture = s("svg", { role: "img", "aria-labelledby": `${chart.id}-drawn`, width, height: frame.height,
                               viewBox: `0 0 ${width} ${frame.height}` },
      s("title", { id: `${chart.id}-drawn` }, `${chart.title}. The figures are in the table below.`),
      grid(chart, frame), chart.series.flatMap((each) => shapes(each, frame)), limits(chart, frame));
    node.replaceChildren(picture);
    follow(chart, frame, node, picture);
  };
}

function figures(chart: Chart): HTMLElement {
  const format = chart.format ?? figure;
  const xs = [...new Set(chart.series.flatMap((each) => each.points.map((point) => point.x)))].sort((a, b) => a - b);
  const rows = xs.map((x): Child[] => [String(x), ...chart.series.map((each) => {
    const point = each.points.find((candidate) => candidate.x === x);
    return point ? format(point.y) : "–";
  })]);
  return h("details", { class: "figures" }, h("summary", {}, `Figures of “${chart.title}”`),
    table({ caption: `${chart.title}: ${chart.up}`, hideCaption: true,
        columns: [chart.across, ...chart.series.map((each) => each.name)],
            rows, numeric: true }));
}

/** A chart; or what stands in its place when there is nothing to draw yet. */
export function chart(of: Chart): HTMLElement {
  const empty = of.series.every((each) => each.points.length === 0);
  return h("figure", { class: "card chart", id: of.id, "data-key": `${of.id}${empty ? "-empty" : ""}` },
    h("h3", {}, of.title), h("p", { class: "reading" }, of.reading),
    of.series.length > 1 && !empty &&
      h("p", { class: "legend", "aria-hidden": "true" },
          of.series.map((each) => h("span", {}, swatch(each), each.name))),
    empty ? h("p", { class: "nothing" }, "Nothing to draw yet.") : drawn({ class: "plot" }, draw(of)),
    !empty && figures(of),
    sourceLine(of.source, "figcaption"));
}

export interface Bar {
  name: string;
  value: number;
  colour?: 1 | 2 | 3 | 4;
}

export interface Bars {
  id: string;
  title: string;
  reading: Child;
  source: Source;
  names: string;
  values: string;
  format?: (value: number) => string;
  bars: Bar[];
}

/** Amounts beside each other: a table whose second column is drawn. */
export function bars(of: Bars): HTMLElement {
  const most = Math.max(1, ...of.bars.map((each) => each.value));
  const rows = of.bars.map((bar): Child[] => [
    bar.name, meter(bar.value / most, bar.colour ?? 1), (of.format ?? count)(bar.value)]);
  return h("figure", { class: "card chart", id: of.id, "data-key": of.id },
    h("h3", {}, of.title), h("p", { class: "reading" }, of.reading),
    of.bars.length === 0 ? h("p", { class: "nothing" }, "Nothing to draw yet.")
      : table({ caption: of.title, hideCaption: true, columns: [of.names, "Share of the largest", of.values], rows,
                style: "bars" }),
    sourceLine(of.source, "figcaption"));
}

/** A bar that is filled to a share; what it means is told in words beside it. */
export function meter(share: number, colour: 1 | 2 | 3 | 4): SVGElement {
  const width = Math.max(0, Math.min(1, share)) * 100;
  return s("svg", { class: "meter", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "track", width: 100, height: 8, rx: 1 }),
    s("rect", { class: `fill-${colour}`, width: r(width), height: 8, rx: 1 }));
}
