/** A line chart as wide as its place. Lines differ by their dashes, not only by colour. */

import "./line-chart.css";
import { html, svg } from "./dom";
import { afterSliderKey } from "./grid-keys";
import { number } from "./text";

export interface Curve {
  name: string;
  points: readonly (readonly [number, number])[];
  /** SVG dashes; none: a solid line. */
  dashes?: string;
  /** Drawn in the accent colour, above the others. */
  main?: boolean;
  /** Only points, as hollow circles. */
  dots?: boolean;
}

export interface LineChart {
  label: string;
  curves: readonly Curve[];
  xName: string;
  yName: string;
  /** "log": of x + 1, so that step 0 has a place. */
  xScale?: "linear" | "log";
  /** The reader chose a value of x that the first curve has. */
  onPick?(x: number): void;
  /** What is true at a value of x, in words. With it, the chart is a slider over the points of the first curve. */
  describe?(x: number): string;
}

export interface DrawnLineChart {
  draw(curves: readonly Curve[]): void;
  /** Puts a line at a value of x. */
  mark(x: number): void;
}

const HEIGHT = 200;
const MARGIN = { left: 44, right: 14, top: 10, bottom: 34 };
const WIDEST = 640;
const MOST_TICKS = 8;

export type Scale = (value: number) => number;

export function linear([from, to]: readonly [number, number], [first, last]: readonly [number, number]): Scale {
  const size = to - from || 1;
  return (value) => first + ((value - from) / size) * (last - first);
}

/** Round values from `low` to `high`, about `count` of them. */
export function ticks(low: number, high: number, count: number): number[] {
  if (!(high > low)) {
    return [low];
  }
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10);
  const found: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

/** 0, and the powers of ten up to the largest value. */
export function logTicks(high: number): number[] {
  const found = [0];
  for (let value = 1; value <= high; value *= 10) {
    found.push(value);
  }
  return found;
}

export function drawLineChart(element: HTMLElement, chart: LineChart): DrawnLineChart {
  const plot = new Plot(element, chart);
  new ResizeObserver(() => plot.redraw()).observe(plot.frame);
  plot.redraw();
  if (chart.onPick) {
    const { onPick } = chart;
    plot.frame.classList.add("pickable");
    plot.frame.addEventListener("pointerdown", (event) => onPick(plot.nearest(event)));
  }
  if (chart.describe) {
    const xs = plot.places();
    makeSlider(plot.frame, xs.length, (at) => plot.describe(at));
    plot.frame.addEventListener("pointermove", (event) => plot.describe(xs.indexOf(plot.nearest(event))));
    plot.describe(0);
  }
  return plot;
}

class Plot implements DrawnLineChart {
  readonly frame: HTMLElement;
  private readonly picture = svg("svg", { class: "line-chart", height: HEIGHT });
  private readonly legend = html("ul", { class: "line-chart-legend" });
  private readonly readout = html("p", { class: "line-chart-readout" });
  private readonly along: Scale;
  private curves: readonly Curve[];
  private marked: number | null = null;
  private x: Scale = () => 0;

  constructor(
    element: HTMLElement,
    private readonly chart: LineChart,
  ) {
    const role = chart.describe ? "slider" : "img";
    this.frame = html("div", { class: "line-chart-plot", "aria-label": chart.label, role }, this.picture);
    this.curves = chart.curves;
    this.along = chart.xScale === "log" ? (value) => Math.log10(value + 1) : (value) => value;
    element.append(html("div", { class: "line-chart-frame" }, this.legend, this.frame, this.readout));
  }

  draw(curves: readonly Curve[]): void {
    this.curves = curves;
    this.redraw();
  }

  mark(x: number): void {
    this.marked = x;
    this.drawMark();
  }

  /** The values of x that can be chosen. */
  places(): number[] {
    return this.chart.curves[0]!.points.map(([x]) => x);
  }

  nearest(event: PointerEvent): number {
    const wanted = event.clientX - this.picture.getBoundingClientRect().left;
    const distance = (value: number) => Math.abs(this.x(value) - wanted);
    return this.places().reduce((best, value) => (distance(value) < distance(best) ? value : best));
  }

  /** Shows what is true at one of the places. */
  describe(at: number): void {
    const x = this.places()[at]!;
    const text = this.chart.describe!(x);
    this.mark(x);
    this.readout.textContent = text;
    this.frame.setAttribute("aria-valuenow", String(at));
    this.frame.setAttribute("aria-valuetext", text);
  }

  redraw(): void {
    const width = Math.min(WIDEST, this.frame.clientWidth || WIDEST);
    this.picture.setAttribute("width", String(width));
    this.picture.replaceChildren();
    this.legend.replaceChildren(...this.curves.map(legendEntry));
    const points = this.curves.flatMap((curve) => curve.points.filter(([, value]) => Number.isFinite(value)));
    const [first, last] = [Math.min(...points.map(([x]) => x)), Math.max(...points.map(([x]) => x))];
    const inner = linear([this.along(first), this.along(last)], [MARGIN.left, width - MARGIN.right]);
    this.x = (value) => inner(this.along(value));
    const range = extent(points.map(([, value]) => value));
    const y = linear(range, [HEIGHT - MARGIN.bottom, MARGIN.top]);
    const xTicks = this.chart.xScale === "log" ? logTicks(last) : ticks(first, last, Math.min(MOST_TICKS, last));
    this.picture.append(...axes(this.chart, width, this.x, y, xTicks, ticks(...range, 5)));
    const inOrder = [...this.curves].sort((one, other) => Number(one.main ?? false) - Number(other.main ?? false));
    inOrder.forEach((curve) => this.picture.append(...drawCurve(curve, this.x, y)));
    this.drawMark();
  }

  private drawMark(): void {
    this.picture.querySelector(".line-chart-mark")?.remove();
    if (this.marked !== null) {
      const at = this.x(this.marked);
      this.picture.append(svg("line", { class: "line-chart-mark", x1: at, x2: at, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }));
    }
  }
}

/** Lets the arrow keys choose one of `count` places. */
function makeSlider(frame: HTMLElement, count: number, onMove: (at: number) => void): void {
  frame.tabIndex = 0;
  frame.setAttribute("aria-valuemin", "0");
  frame.setAttribute("aria-valuemax", String(count - 1));
  frame.addEventListener("keydown", (event) => {
    const next = afterSliderKey(event.key, Number(frame.getAttribute("aria-valuenow")), count);
    if (next !== null) {
      event.preventDefault();
      onMove(next);
    }
  });
}

/** From the smallest to the largest value, with 0 if it is near. */
export function extent(values: readonly number[]): [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low || 1) * 0.04;
  return [low >= 0 && low < high * 0.5 ? 0 : low - room, high + room];
}

function axes(chart: LineChart, width: number, x: Scale, y: Scale, xTicks: number[], yTicks: number[]): SVGElement[] {
  const bottom = HEIGHT - MARGIN.bottom;
  const found: SVGElement[] = [];
  for (const value of yTicks) {
    found.push(svg("line", { class: "line-chart-grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }));
    found.push(svg("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, number(value).replace("-", "−")));
  }
  for (const value of xTicks) {
    found.push(svg("text", { x: x(value), y: bottom + 15, "text-anchor": "middle" }, number(value, 6)));
  }
  found.push(svg("text", { x: width - MARGIN.right, y: HEIGHT - 3, "text-anchor": "end" }, chart.xName));
  found.push(svg("text", { x: 0, y: HEIGHT - 3 }, `↑ ${chart.yName}`));
  return found;
}

function drawCurve(curve: Curve, x: Scale, y: Scale): SVGElement[] {
  const points = curve.points.filter(([, value]) => Number.isFinite(value));
  const kind = curve.main ? "curve main" : "curve";
  if (curve.dots) {
    return points.map(([at, value]) => svg("circle", { class: `${kind} dots`, cx: x(at), cy: y(value), r: 3 }));
  }
  const path = points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  return [svg("polyline", { class: kind, points: path, "stroke-dasharray": curve.dashes ?? "none" })];
}

function legendEntry(curve: Curve): HTMLElement {
  const kind = curve.main ? "curve main" : "curve";
  const sample = curve.dots
    ? svg("circle", { class: `${kind} dots`, cx: 14, cy: 6, r: 3 })
    : svg("line", { class: kind, x1: 0, x2: 28, y1: 6, y2: 6, "stroke-dasharray": curve.dashes ?? "none" });
  const picture = svg("svg", { width: 28, height: 12, "aria-hidden": "true" }, sample);
  return html("li", {}, picture, curve.name);
}
