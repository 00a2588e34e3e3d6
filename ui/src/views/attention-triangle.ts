/** A head as a triangle without labels. */

import { svg } from "../dom";
import { readOf, trianglePaths, type AttentionData, type Setting } from "./attention-data";

const LEVELS = 10;

export function drawTriangle(data: AttentionData, setting: Setting, head: number, largest: number): SVGSVGElement {
  const side = data.tokens;
  const paths = trianglePaths(side, LEVELS, (row, column) => readOf(data, setting, head, row, column) / largest);
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
