/** The map of the vectors: tokens of the text as filled circles, their neighbours as rings, with labels that do not overlap. */

import type { Language } from "../draw";
import { html, svg } from "../dom";
import { hint } from "../hint";
import { placeLabels, type LabelPlace } from "../labels";
import { fixed, percent, textWidth } from "../text";
import type { VectorsView } from "../types";
import { fit, labelOrder, type MapPoint } from "./vectors-data";

const MARGIN = 28;
const HIGHEST = 560;
const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
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
  const state: MapState = { picture, view, points, language, choose, chosen: null, focused: 0, width: 0 };
  picture.addEventListener("keydown", (event) => onKey(event, state));
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry!.contentRect.width);
    if (width && width !== state.width) {
      state.width = width;
      requestAnimationFrame(() => draw(state)); // drawing changes the height, which must not happen while sizes are observed
    }
  }).observe(element);
  return {
    select: (vector) => {
      state.chosen = vector;
      draw(state);
    },
  };
}

interface MapState {
  picture: SVGSVGElement;
  view: VectorsView;
  points: readonly MapPoint[];
  language: Language;
  choose(vector: number | null): void;
  /** A token of the text, or none. */
  chosen: number | null;
  /** The point that the Tab key reaches. */
  focused: number;
  /** In pixels; 0 as long as the map is not shown. */
  width: number;
}

function draw(state: MapState): void {
  const { picture, points, width, chosen } = state;
  if (!width) {
    return;
  }
  const hadFocus = picture.contains(document.activeElement);
  const { vectors } = state.view.body;
  const neighbours = chosen === null ? [] : vectors[chosen]!.neighbours;
  const frame = fit(points, width, MARGIN, HIGHEST);
  picture.setAttribute("viewBox", `0 0 ${width} ${frame.height}`);
  const order = labelOrder(points, chosen, neighbours);
  const boxes = order.map((point) => {
    const size = point.vector === null ? SIZE.other : SIZE.own;
    const always = point.vector !== null;
    return { ...frame.place(point), width: textWidth(point.name, size), height: size + 3, always };
  });
  const labels = placeLabels(boxes, width, frame.height);
  const lines = neighbours.map((neighbour) => {
    const from = frame.place(points[vectors[chosen!]!.point]!);
    const to = frame.place(points[neighbour]!);
    return svg("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y });
  });
  const marks = order.map((point, at) => drawPoint(state, point, boxes[at]!, labels[at] ?? null));
  picture.replaceChildren(...lines, ...marks.reverse()); // the most important on top
  if (hadFocus) {
    picture.querySelector<SVGElement>("[tabindex='0']")?.focus();
  }
}

function drawPoint(state: MapState, point: MapPoint, at: LabelPlace, label: LabelPlace | null): SVGGElement {
  const { chosen, focused, view, choose } = state;
  const own = point.vector !== null;
  const classes = [own ? "own" : "neighbour"];
  if (chosen !== null) {
    const near = view.body.vectors[chosen]!.neighbours.includes(point.index);
    classes.push(point.vector === chosen ? "chosen" : near ? "near" : "far");
  }
  const mark = svg("g", {
    class: classes.join(" "),
    role: "option",
    "aria-label": describe(state, point),
    "aria-selected": String(own && point.vector === chosen),
    tabindex: point.index === focused ? 0 : -1,
  });
  mark.append(svg("circle", { class: "target", cx: at.x, cy: at.y, r: 11 }));
  mark.append(svg("circle", { cx: at.x, cy: at.y, r: own ? 5 : 3.5 }));
  if (label) {
    mark.append(svg("text", { class: "token", x: label.x, y: label.y, dy: "0.35em" }, point.name));
  }
  hint(mark, () => describe(state, point));
  if (own) {
    mark.addEventListener("click", () => {
      state.focused = point.index;
      choose(point.vector === chosen ? null : point.vector);
    });
  }
  return mark;
}

/** What the map says about a point: the neighbours of a token of the text, or whose neighbour it is. */
function describe({ view, points, language }: MapState, point: MapPoint): string {
  const words = WORDS[language];
  const { vectors } = view.body;
  if (point.vector !== null) {
    const { neighbours, cosines } = vectors[point.vector]!;
    const list = neighbours.map((neighbour, at) => `${points[neighbour]!.name} ${fixed(cosines[at] ?? NaN, 2)}`);
    return [point.name, words.neighbours, ...list].join("\n");
  }
  const near = vectors.flatMap((vector) => {
    const at = vector.neighbours.indexOf(point.index);
    return at < 0 ? [] : [`${points[vector.point]!.name} ${fixed(vector.cosines[at] ?? NaN, 2)}`];
  });
  return [point.name, words.near, ...near].join("\n");
}

function onKey(event: KeyboardEvent, state: MapState): void {
  const { points, chosen, focused } = state;
  const step = STEPS[event.key];
  if (step !== undefined) {
    event.preventDefault();
    state.focused = (focused + step + points.length) % points.length;
    draw(state);
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    const { vector } = points[focused]!;
    state.choose(vector === chosen ? null : (vector ?? chosen));
  }
}
