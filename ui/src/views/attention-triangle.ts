/** A head as a triangle without labels, of the last tokens of the text. */

import { svg } from "../dom";
import { readOf, trianglePaths, triangleStart, type AttentionData, type Setting } from "./attention-data";

const LEVELS = 10;

export function drawTriangle(data: AttentionData, setting: Setting, head: number, largest: number): SVGSVGElement {
  const start = triangleStart(data);
  const side = data.tokens - start;
  const share = (row: number, column: number) => readOf(data, setting, head, start + row, start + column) / largest;
  const paths = trianglePaths(side, LEVELS, share);
  const picture = svg("svg", { class: "triangle", viewBox: `0 0 ${side} ${side}`, "aria-hidden": "true" });
  picture.append(svg("path", { class: "ground", d: stairs(side) }));
  paths.forEach((path, level) => {
    if (path) {
      picture.append(svg("path", { d: path, "fill-opacity": (level + 1) / LEVELS }));
    }
  });
  return picture;
}

/** The outline of all cells that a token can read. */
function stairs(side: number): string {
  return `M0 0${"h1v1".repeat(side)}H0z`;
}
