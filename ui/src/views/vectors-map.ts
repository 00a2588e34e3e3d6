/** The map of the vectors: tokens of the text as filled circles, their neighbours as rings, with labels that do not overlap. */

import type { Language } from "../draw";
import { html, svg } from "../dom";
import { hint } from "../hint";
import { placeLabels } from "../labels";
import { percent } from "../text";
import type { VectorsView } from "../types";
import { fit, labelOrder, textWidth, type MapPoint } from "./vectors-data";

const MARGIN = 28;
const HIGHEST = 560;
const SIZE = { own: 14, other: 12 }; // of a label, in pixels

const WORDS = {
  en: {
    how: (shares: string) =>
      `Filled circles are tokens of the text, rings are their neighbours. The map shows ${shares} of the differences between these vectors, so distances on it are only a hint. Choose a circle to see its neighbours.`,
    label: "Map of vectors",
    neighbours: "nearest neighbours",
    near: "is a neighbour of",
  },
  zh: {
    how: (shares: string) =>
      `实心圆是文本里的 token，空心圆是它们的邻居。这张图只画出这些向量之间 ${shares} 的差别，图上的距离仅供参考。点一个实心圆，看它的邻居。`,
    label: "向量地图",
    neighbours: "最近的邻居",
    near: "它是这些 token 的邻居",
  },
} as const;

export interface VectorMap {
  select(vector: number | null): void;
}

export function drawMap(
  element: HTMLElement,
  view: VectorsView,
  points: readonly MapPoint[],
  language: Language,
  choose: (vector: number | null) => void,
): VectorMap {
  const words = WORDS[language];
  const [first, second] = view.body.explained;
  const picture = svg("svg", { role: "listbox", "aria-label": words.label });
  element.append(html("p", { class: "note" }, words.how(percent((first ?? 0) + (second ?? 0)))), picture);
  let chosen: number | null = null;
  let focused = 0; // place in `points`
  let width = 0;

  function draw(): void {
    const hadFocus = picture.contains(document.activeElement);
    const neighbours = chosen === null ? [] : view.body.vectors[chosen]!.neighbours;
    const frame = fit(points, width, MARGIN, HIGHEST);
    picture.setAttribute("viewBox", `0 0 ${width} ${frame.height}`);
    const order = labelOrder(points, chosen, neighbours);
    const sizes = order.map((point) => (point.vector === null ? SIZE.other : SIZE.own));
    const boxes = order.map((point, at) => ({
      ...frame.place(point),
      width: textWidth(point.name, sizes[at]!),
      height: sizes[at]! + 3,
      always: point.vector !== null,
    }));
    const labels = placeLabels(boxes, width, frame.height);
    const from = chosen === null ? null : frame.place(points[view.body.vectors[chosen]!.point]!);
    const lines = neighbours.map((neighbour) => {
      const to = frame.place(points[neighbour]!);
      return svg("line", { x1: from!.x, y1: from!.y, x2: to.x, y2: to.y });
    });
    const marks = order.map((point, at) => drawPoint(point, boxes[at]!, labels[at] ?? null, neighbours));
    picture.replaceChildren(...lines, ...marks.reverse()); // the most important on top
    if (hadFocus) {
      picture.querySelector<SVGElement>("[tabindex='0']")?.focus();
    }
  }

  function drawPoint(point: MapPoint, at: { x: number; y: number }, label: { x: number; y: number } | null, neighbours: readonly number[]) {
    const own = point.vector !== null;
    const classes = [own ? "own" : "neighbour"];
    if (chosen !== null) {
      classes.push(point.vector === chosen ? "chosen" : neighbours.includes(point.index) ? "near" : "far");
    }
    const mark = svg("g", {
      class: classes.join(" "),
      role: "option",
      "aria-label": describe(point),
      "aria-selected": String(own && point.vector === chosen),
      tabindex: point.index === focused ? 0 : -1,
    });
    mark.append(svg("circle", { class: "target", cx: at.x, cy: at.y, r: 11 }), svg("circle", { cx: at.x, cy: at.y, r: own ? 5 : 3.5 }));
    if (label) {
      mark.append(svg("text", { class: "token", x: label.x, y: label.y, dy: "0.35em" }, point.name));
    }
    hint(mark, () => describe(point));
    if (own) {
      mark.addEventListener("click", () => {
        focused = point.index;
        choose(point.vector === chosen ? null : point.vector);
      });
    }
    return mark;
  }

  function describe(point: MapPoint): string {
    if (point.vector !== null) {
      const { neighbours, cosines } = view.body.vectors[point.vector]!;
      const list = neighbours.map((neighbour, at) => `${points[neighbour]!.name} ${cosineText(cosines[at])}`);
      return [point.name, words.neighbours, ...list].join("\n");
    }
    const near = view.body.vectors.flatMap((vector) => {
      const at = vector.neighbours.indexOf(point.index);
      return at < 0 ? [] : [`${points[vector.point]!.name} ${cosineText(vector.cosines[at])}`];
    });
    return [point.name, words.near, ...near].join("\n");
  }

  picture.addEventListener("keydown", (event) => {
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
    const step = steps[event.key];
    if (step !== undefined) {
      event.preventDefault();
      focused = (focused + step + points.length) % points.length;
      draw();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      const { vector } = points[focused]!;
      choose(vector === chosen ? null : (vector ?? chosen));
    }
  });
  new ResizeObserver(([entry]) => {
    const next = Math.round(entry!.contentRect.width);
    if (next && next !== width) {
      width = next;
      requestAnimationFrame(draw); // drawing changes the height, which must not happen while sizes are observed
    }
  }).observe(element);
  return {
    select: (vector) => {
      chosen = vector;
      if (width) {
        draw();
      }
    },
  };
}

function cosineText(cosine: number | null | undefined): string {
  return (cosine ?? NaN).toFixed(2);
}
