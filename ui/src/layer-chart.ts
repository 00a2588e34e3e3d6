/**
 * Lines over the layers of a model. A cursor stands on one layer: it follows the pointer and the arrow keys, and the numbers at
 * it are written below the chart, so nothing is said by the picture alone.
 */

import type { Language } from "./draw";
import { html, svg } from "./dom";
import { afterSliderKey } from "./grid-keys";
import { labelledRows, shortLayerName } from "./layers";
import type { Scale } from "./scale";
import "./layer-chart.css";

export interface Line {
  values: readonly number[];
  /** The first one is drawn in the accent colour; others by their dashes. */
  dashes?: string;
}

/** From lower to upper values: what is expected without a reason. */
export interface Band {
  low: readonly number[];
  high: readonly number[];
  name: string;
}

export interface LayerChart {
  label: string;
  rows: readonly string[];
  scale: Scale;
  lines: readonly Line[];
  band?: Band;
  /** A line across at one row, with a text. */
  mark?: { row: number; text: string };
  /** What is true at a row, in words. */
  describe(row: number): string;
  onRow?(row: number): void;
}

export interface DrawnLayerChart {
  element: HTMLElement;
  show(row: number): void;
}

const WIDTH = 340;
const HEIGHT = 180;
const MARGIN = { left: 40, right: 12, top: 20, bottom: 26 };
const MOST_LABELS = 9;
const POINTS_UP_TO = 14; // rows; with more, points would hide the line

export function drawLayerChart(chart: LayerChart, language: Language): DrawnLayerChart {
  const { rows } = chart;
  const x = (row: number) => MARGIN.left + (row * (WIDTH - MARGIN.left - MARGIN.right)) / Math.max(1, rows.length - 1);
  const y = (value: number) => MARGIN.top + (1 - chart.scale.place(value)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const cursor = svg("line", { class: "cursor", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom });
  const picture = drawPicture(chart, cursor, x, y, language);
  const readout = html("p", { class: "readout" });
  const range = { "aria-valuemin": 0, "aria-valuemax": rows.length - 1 };
  const frame = html("div", { class: "frame", role: "slider", tabindex: 0, "aria-label": chart.label, ...range }, picture);
  let current = rows.length - 1;

  function show(row: number): void {
    current = row;
    cursor.setAttribute("x1", String(x(row)));
    cursor.setAttribute("x2", String(x(row)));
    readout.textContent = chart.describe(row);
    frame.setAttribute("aria-valuenow", String(row));
    frame.setAttribute("aria-valuetext", chart.describe(row));
  }

  function move(row: number): void {
    const within = Math.max(0, Math.min(rows.length - 1, row));
    if (within !== current) {
      show(within);
      chart.onRow?.(within);
    }
  }

  frame.addEventListener("keydown", (event) => {
    const next = afterSliderKey(event.key, current, rows.length);
    if (next !== null) {
      event.preventDefault();
      move(next);
    }
  });
  const follow = (event: PointerEvent) => {
    const box = picture.getBoundingClientRect();
    const place = ((event.clientX - box.left) * WIDTH) / box.width;
    move(Math.round(((place - MARGIN.left) * (rows.length - 1)) / (WIDTH - MARGIN.left - MARGIN.right)));
  };
  frame.addEventListener("pointermove", follow);
  frame.addEventListener("pointerdown", follow);
  show(current);
  return { element: html("div", { class: "layer-chart" }, frame, readout), show };
}

function drawPicture(chart: LayerChart, cursor: SVGElement, x: Place, y: Place, language: Language): SVGSVGElement {
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" });
  drawAxes(picture, chart, x, y, language);
  if (chart.band) {
    drawBand(picture, chart.band, x, y);
  }
  if (chart.mark) {
    drawMark(picture, chart.mark, x(chart.mark.row));
  }
  picture.append(cursor);
  [...chart.lines].reverse().forEach((line, at) => drawLine(picture, line, at === chart.lines.length - 1, x, y));
  return picture;
}

type Place = (value: number) => number;

function drawAxes(picture: SVGElement, chart: LayerChart, x: Place, y: Place, language: Language): void {
  for (const { value, text } of chart.scale.ticks) {
    picture.append(svg("line", { class: "grid", x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: y(value), y2: y(value) }));
    picture.append(svg("text", { class: "tick", x: MARGIN.left - 6, y: y(value), "text-anchor": "end", dy: "0.35em" }, text));
  }
  for (const row of labelledRows(chart.rows.length, MOST_LABELS)) {
    const name = shortLayerName(chart.rows, row, language);
    picture.append(svg("text", { class: "tick", x: x(row), y: HEIGHT - 8, "text-anchor": "middle" }, name));
  }
}

function drawBand(picture: SVGElement, { low, high, name }: Band, x: Place, y: Place): void {
  const upper = high.map((value, row) => `${x(row)},${y(value)}`);
  const lower = low.map((value, row) => `${x(row)},${y(value)}`).reverse();
  picture.append(svg("polygon", { class: "band", points: [...upper, ...lower].join(" ") }));
  const below = y(low[low.length - 1]!) + 8; // where the lines seldom are
  const place = { x: WIDTH - MARGIN.right - 4, y: below, dy: "0.35em", "text-anchor": "end" };
  picture.append(svg("text", { class: "band-name", ...place }, name));
}

function drawMark(picture: SVGElement, mark: { text: string }, x: number): void {
  const right = x > WIDTH / 2;
  const place = { x: x + (right ? -5 : 5), y: MARGIN.top - 8, "text-anchor": right ? "end" : "start" };
  picture.append(svg("line", { class: "mark", x1: x, x2: x, y1: MARGIN.top - 6, y2: HEIGHT - MARGIN.bottom }));
  picture.append(svg("text", { class: "mark", ...place }, mark.text));
}

function drawLine(picture: SVGElement, line: Line, first: boolean, x: Place, y: Place): void {
  const points = line.values.map((value, row) => `${x(row).toFixed(1)},${y(value).toFixed(1)}`);
  const classes = first ? "line first" : "line";
  picture.append(svg("polyline", { class: classes, points: points.join(" "), "stroke-dasharray": line.dashes }));
  if (first && line.values.length <= POINTS_UP_TO) {
    for (const [row, value] of line.values.entries()) {
      picture.append(svg("circle", { class: "point", cx: x(row), cy: y(value), r: 3 }));
    }
  }
}
