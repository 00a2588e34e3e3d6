/**
 * A line chart as wide as its place. Lines differ by their dashes, not only by colour. A cursor stands on one value of x; it
 * follows the pointer and the arrow keys, and what is true there is written below, so nothing is said by the picture alone.
 */

import "./chart.css";
import { fill, html, setAttribute, svg } from "./dom";
import { afterSliderKey } from "./grid-keys";
import type { Scale } from "./scale";

export interface Curve {
  /** For the legend; without a name, the curve is not in it. */
  name?: string;
  points: readonly (readonly [number, number])[];
  /** SVG dashes; none: a solid line. */
  dashes?: string;
  /** Drawn in the accent colour, above the others. */
  main?: boolean;
  /** Only points, as hollow circles. */
  dots?: boolean;
}

/** From lower to upper values, along the points of the first curve: what is expected without a reason. */
export interface Band {
  name: string;
  low: readonly number[];
  high: readonly number[];
}

export interface Chart {
  label: string;
  curves: readonly Curve[];
  x: Scale & { name?: string };
  y: Scale & { name?: string };
  band?: Band;
  /** A line at one value of x, with a text. */
  mark?: { x: number; text: string };
  /** In pixels. */
  widest?: number;
  /** What is true at a value of x, in words. With it, the chart is a slider over the points of the first curve. */
  describe?(x: number): string;
  /** The reader moved the cursor. */
  onMove?(x: number): void;
  /** The reader chose a value of x. */
  onPick?(x: number): void;
}

export interface DrawnChart {
  draw(curves: readonly Curve[]): void;
  /** Puts the cursor at a value of x. */
  show(x: number): void;
}

const HEIGHT = 200;
const WIDEST = 640;
const RIGHT = 14;
const LETTER = 7; // pixels of a character of a tick
const POINTS_UP_TO = 14; // of the main curve; with more, points would hide the line

export function drawChart(element: HTMLElement, chart: Chart): DrawnChart {
  const plot = new Plot(element, chart);
  new ResizeObserver(() => plot.redraw()).observe(plot.frame);
  plot.redraw();
  const { onPick } = chart;
  if (onPick) {
    plot.frame.classList.add("pickable");
    plot.frame.addEventListener("pointerdown", (event) => onPick(plot.nearest(event)));
  }
  if (chart.describe) {
    makeSlider(plot);
  }
  return plot;
}

/** Lets the pointer and the arrow keys move the cursor. It begins at the last place. */
function makeSlider(plot: Plot): void {
  const { frame, places } = plot;
  frame.tabIndex = 0;
  setAttribute(frame, "aria-valuemin", 0);
  setAttribute(frame, "aria-valuemax", places.length - 1);
  const follow = (event: PointerEvent) => plot.move(plot.nearest(event));
  frame.addEventListener("pointermove", follow);
  frame.addEventListener("pointerdown", follow);
  frame.addEventListener("keydown", (event) => {
    const next = afterSliderKey(event.key, places.indexOf(plot.cursor ?? NaN), places.length);
    if (next !== null) {
      event.preventDefault();
      plot.move(places[next]!);
    }
  });
  plot.show(places[places.length - 1]!);
}

class Plot implements DrawnChart {
  readonly frame: HTMLElement;
  /** The values of x at which the cursor can stand. */
  readonly places: readonly number[];
  cursor: number | null = null;
  private readonly picture = svg("svg", { height: HEIGHT, "aria-hidden": "true" });
  private readonly legend = html("ul", { class: "chart-legend" });
  private readonly readout = html("p", { class: "chart-readout" });
  private readonly edges: { left: number; top: number; bottom: number };
  private curves: readonly Curve[];
  private width = WIDEST;

  constructor(
    element: HTMLElement,
    private readonly chart: Chart,
  ) {
    const role = chart.describe ? "slider" : "img";
    this.frame = html("div", { class: "chart-plot", "aria-label": chart.label, role }, this.picture);
    this.curves = chart.curves;
    this.places = chart.curves[0]!.points.map(([x]) => x);
    const longest = Math.max(...chart.y.ticks.map(({ text }) => text.length));
    this.edges = {
      left: 12 + LETTER * longest,
      top: chart.mark ? 22 : 10,
      bottom: HEIGHT - (chart.x.name ? 34 : 22),
    };
    const box = html("div", { class: "chart" }, this.legend, this.frame, ...(chart.describe ? [this.readout] : []));
    box.style.maxWidth = `${chart.widest ?? WIDEST}px`;
    element.append(box);
  }

  draw(curves: readonly Curve[]): void {
    this.curves = curves;
    this.redraw();
  }

  show(x: number): void {
    this.cursor = x;
    this.drawCursor();
    if (this.chart.describe) {
      const text = this.chart.describe(x);
      fill(this.readout, text);
      setAttribute(this.frame, "aria-valuenow", this.places.indexOf(x));
      setAttribute(this.frame, "aria-valuetext", text);
    }
  }

  /** Moves the cursor for the reader. */
  move(x: number): void {
    if (x !== this.cursor) {
      this.show(x);
      this.chart.onMove?.(x);
    }
  }

  nearest(event: PointerEvent): number {
    const wanted = event.clientX - this.picture.getBoundingClientRect().left;
    const distance = (value: number) => Math.abs(this.x(value) - wanted);
    return this.places.reduce((best, value) => (distance(value) < distance(best) ? value : best));
  }

  redraw(): void {
    this.width = Math.min(this.chart.widest ?? WIDEST, this.frame.clientWidth || WIDEST);
    setAttribute(this.picture, "width", this.width);
    this.legend.replaceChildren(...this.curves.filter(({ name }) => name).map(legendEntry));
    const last = (curve: Curve) => Number(curve.main ?? false);
    const inOrder = [...this.curves].sort((one, other) => last(one) - last(other));
    this.picture.replaceChildren(
      ...this.axes(),
      ...this.band(),
      ...this.mark(),
      ...inOrder.flatMap((curve) => this.curve(curve)),
    );
    this.drawCursor();
  }

  private x(value: number): number {
    return this.edges.left + this.chart.x.place(value) * (this.width - RIGHT - this.edges.left);
  }

  private y(value: number): number {
    return this.edges.bottom - this.chart.y.place(value) * (this.edges.bottom - this.edges.top);
  }

  private drawCursor(): void {
    this.picture.querySelector(".chart-cursor")?.remove();
    if (this.cursor !== null) {
      this.picture.append(this.upright("chart-cursor", this.cursor));
    }
  }

  private upright(kind: string, value: number): SVGElement {
    const at = this.x(value);
    return svg("line", { class: kind, x1: at, x2: at, y1: this.edges.top, y2: this.edges.bottom });
  }

  private axes(): SVGElement[] {
    const { left, bottom } = this.edges;
    const { x, y } = this.chart;
    const found = y.ticks.flatMap(({ value, text }) => [
      svg("line", { class: "chart-grid", x1: left, x2: this.width - RIGHT, y1: this.y(value), y2: this.y(value) }),
      svg("text", { x: left - 6, y: this.y(value), dy: "0.35em", "text-anchor": "end" }, text),
    ]);
    for (const { value, text } of x.ticks) {
      found.push(svg("text", { x: this.x(value), y: bottom + 16, "text-anchor": "middle" }, text));
    }
    if (x.name) {
      found.push(svg("text", { x: this.width - RIGHT, y: HEIGHT - 3, "text-anchor": "end" }, x.name));
    }
    if (y.name) {
      found.push(svg("text", { x: 0, y: HEIGHT - 3 }, `↑ ${y.name}`));
    }
    return found;
  }

  private band(): SVGElement[] {
    const { band } = this.chart;
    if (!band) {
      return [];
    }
    const point = (value: number, at: number) => `${this.x(this.places[at]!)},${this.y(value)}`;
    const points = [...band.high.map(point), ...band.low.map(point).reverse()].join(" ");
    const below = this.y(band.low[band.low.length - 1]!) + 8; // where the lines seldom are
    const place = { x: this.width - RIGHT - 4, y: below, dy: "0.35em", "text-anchor": "end" };
    return [svg("polygon", { class: "chart-band", points }), svg("text", place, band.name)];
  }

  private mark(): SVGElement[] {
    const { mark } = this.chart;
    if (!mark) {
      return [];
    }
    const at = this.x(mark.x);
    const right = at > this.width / 2;
    const place = { x: at + (right ? -5 : 5), y: this.edges.top - 8, "text-anchor": right ? "end" : "start" };
    return [this.upright("chart-mark", mark.x), svg("text", { class: "chart-mark", ...place }, mark.text)];
  }

  private curve(curve: Curve): SVGElement[] {
    const points = curve.points.filter(([, value]) => Number.isFinite(value));
    const circles = (kind: string) => points.map(([x, y]) => svg("circle", { class: kind, cx: this.x(x), cy: this.y(y), r: 3 }));
    if (curve.dots) {
      return circles("curve dots");
    }
    const path = points.map(([x, y]) => `${this.x(x).toFixed(1)},${this.y(y).toFixed(1)}`).join(" ");
    const line = svg("polyline", { class: kindOf(curve), points: path, "stroke-dasharray": curve.dashes });
    return curve.main && points.length <= POINTS_UP_TO ? [line, ...circles("curve-point")] : [line];
  }
}

function kindOf(curve: Curve): string {
  return ["curve", curve.main ? "main" : "", curve.dots ? "dots" : ""].join(" ").trim();
}

function legendEntry(curve: Curve): HTMLElement {
  return html("li", {}, sampleOf(curve), curve.name!);
}

/** What a curve looks like, for a legend. */
export function sampleOf(curve: Pick<Curve, "dashes" | "main" | "dots">): SVGElement {
  const kind = kindOf({ points: [], ...curve });
  const sample = curve.dots
    ? svg("circle", { class: kind, cx: 14, cy: 6, r: 3 })
    : svg("line", { class: kind, x1: 0, x2: 28, y1: 6, y2: 6, "stroke-dasharray": curve.dashes });
  return svg("svg", { class: "chart-sample", width: 28, height: 12, "aria-hidden": "true" }, sample);
}
