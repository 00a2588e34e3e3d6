/** The points of the map of vectors, and where they are drawn. */

import { unpack } from "../packed";
import { tokenName } from "../text";
import type { VectorsView } from "../types";

export interface MapPoint {
  /** Its place in `points`. */
  index: number;
  name: string;
  /** Its place in `vectors` if it is a token of the text; otherwise null. */
  vector: number | null;
  x: number;
  y: number;
}

export function readPoints(view: VectorsView): MapPoint[] {
  const { body } = view;
  const xy = unpack(body.xy);
  const own = new Map(body.vectors.map((vector, at) => [vector.point, at]));
  return body.points.map((token, index) => ({
    index,
    name: tokenName(token),
    vector: own.get(index) ?? null,
    x: xy.at(index, 0),
    y: xy.at(index, 1),
  }));
}

export interface Frame {
  height: number;
  /** From the map's coordinates to pixels. */
  place(point: { x: number; y: number }): { x: number; y: number };
}

/** Fits points into a width, with one scale for both axes so that distances keep their proportions. */
export function fit(points: readonly { x: number; y: number }[], width: number, margin: number, highest: number): Frame {
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [bottom, top] = [Math.min(...ys), Math.max(...ys)];
  const inside = { width: width - 2 * margin, height: highest - 2 * margin };
  const scale = Math.min(inside.width / (right - left || 1), inside.height / (top - bottom || 1));
  const height = (top - bottom) * scale + 2 * margin;
  const start = (width - (right - left) * scale) / 2;
  return { height, place: ({ x, y }) => ({ x: start + (x - left) * scale, y: margin + (top - y) * scale }) };
}

/** The order in which points get labels: the chosen token, the text's others, the neighbours of the chosen one, the rest. */
export function labelOrder(points: readonly MapPoint[], chosen: number | null, neighbours: readonly number[]): MapPoint[] {
  const importance = (point: MapPoint) => {
    if (chosen !== null && point.vector === chosen) {
      return 0;
    }
    return neighbours.includes(point.index) ? 2 : point.vector !== null ? 1 : 3;
  };
  return [...points].sort((one, other) => importance(one) - importance(other) || one.index - other.index);
}
