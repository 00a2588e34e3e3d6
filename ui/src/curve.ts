/** The whole distribution: the probability of every token by its rank, both on logarithmic scales. */

import { html, svg } from "./dom";
import type { Language } from "./draw";
import type { Sampled } from "./sampler";

const WIDTH = 720;
const HEIGHT = 170;
const LEFT = 62;
const BOTTOM = 26;
const TOP = 8;
const DECADES = 6; // of probability, from 1 downwards

export function drawRankCurve(element: HTMLElement, model: Float64Array, sampled: Sampled, language: Language): void {
  const label = language === "zh" ? "每个 token 的概率，按名次排列，两轴都是对数" : "The probability of every token by its rank, on logarithmic scales";
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "rank-curve", role: "img", "aria-label": label });
  const most = Math.log10(model.length);
  const x = (rank: number) => LEFT + ((WIDTH - LEFT - 8) * Math.log10(rank)) / most;
  const y = (share: number) => TOP + ((HEIGHT - TOP - BOTTOM) * Math.min(DECADES, -Math.log10(share))) / DECADES;
  for (let power = 0; power <= DECADES; power += 2) {
    const at = y(10 ** -power);
    picture.append(svg("line", { x1: LEFT, x2: WIDTH - 8, y1: at, y2: at, class: "rank-curve-grid" }));
    picture.append(svg("text", { x: LEFT - 8, y: at + 4, "text-anchor": "end" }, `${power < 3 ? 100 / 10 ** power : 10 ** (2 - power)}%`));
  }
  for (let power = 0; power <= most; power++) {
    const anchor = power === 0 ? "start" : "middle";
    picture.append(svg("text", { x: x(10 ** power), y: HEIGHT - 6, "text-anchor": anchor }, (10 ** power).toLocaleString("en-US")));
  }
  picture.append(svg("path", { d: pathOf(model, x, y), class: "rank-curve-line model" }));
  picture.append(svg("path", { d: pathOf(sampled.probs, x, y), class: "rank-curve-line after" }));
  element.replaceChildren(html("div", { class: "rank-curve-frame", tabindex: 0, role: "region", "aria-label": label }, picture));
}

/** A line through the ranked probabilities; of many with nearly the same rank, one is enough. */
function pathOf(probs: Float64Array, x: (rank: number) => number, y: (share: number) => number): string {
  const ranked = probs.slice().sort().reverse();
  const points: string[] = [];
  let last = -Infinity;
  ranked.forEach((share, at) => {
    const place = x(at + 1);
    if (share > 0 && (place - last >= 1 || at === ranked.length - 1)) {
      points.push(`${place.toFixed(1)} ${y(share).toFixed(1)}`);
      last = place;
    }
  });
  return points.length === 1 ? `M${points[0]}h3` : `M${points.join("L")}`;
}
