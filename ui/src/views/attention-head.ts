/** One head: its triangle with the tokens' names, and what one token reads. */

import type { Language } from "../draw";
import { fill, html, svg } from "../dom";
import { drawStrip } from "../strip";
import { joinSentences, number, passageTokenName, percent } from "../text";
import type { AttentionView } from "../types";
import { readOf, triangleStart, type AttentionData, type Setting } from "./attention-data";
import { drawTriangle } from "./attention-triangle";

const MOST_READS = 8; // in the list
const LEAST = 0.03; // share of a full colour below which a token is not marked
const CELL = { largest: 20, smallest: 5, all: 440 }; // pixels; `all`: the width of the triangle that is aimed at
const LABEL_FROM = 11; // pixels of a cell; in smaller ones, names do not fit
const LABEL = 96; // pixels of the longest name

const WORDS = {
  en: {
    title: (head: number, layer: number) => `Head ${head} of layer ${layer}`,
    reads: (name: string) => `Where “${name}” reads from`,
    choose: "Choose the token that reads",
    triangle: "The triangle of the head. The list next to it says the numbers of the chosen token.",
    point: "Point at a cell, or choose a token.",
    cell: (token: string, source: string, weight: string, size: string) => `${token} reads ${source}: weight ${weight}, size of the read ${size}`,
    columns: ["token", "weight", "size of the value", "weight × size"],
    rest: (count: number, share: string) => `${count} other ${count === 1 ? "token" : "tokens"}: ${share} of the weight.`,
    hidden: (share: string) => `The first token has ${share} of the weight; it is hidden.`,
    exact: (error: string) => `Weights are stored with 16 bits: they are exact to ${error}.`,
  },
  zh: {
    title: (head: number, layer: number) => `第 ${layer} 层，头 ${head}`,
    reads: (name: string) => `“${name}”从哪里读取信息`,
    choose: "选择读取信息的 token",
    triangle: "这个头的三角形。所选 token 的数值见旁边的列表。",
    point: "指向一格，或选择一个 token。",
    cell: (token: string, source: string, weight: string, size: string) => `${token} 读 ${source}：权重 ${weight}，读取的大小 ${size}`,
    columns: ["token", "权重", "value 的大小", "权重 × 大小"],
    rest: (count: number, share: string) => `其余 ${count} 个 token：共占权重的 ${share}。`,
    hidden: (share: string) => `首个 token 占权重的 ${share}，已隐藏。`,
    exact: (error: string) => `权重用 16 位存储，误差不超过 ${error}。`,
  },
} as const;

export interface HeadState {
  data: AttentionData;
  view: AttentionView;
  setting: Setting;
  head: number;
  token: number;
  /** The value of a full colour. */
  largest: number;
  language: Language;
}

export function drawHead(element: HTMLElement, state: HeadState, onToken: (token: number | null) => void): void {
  const { data, view, head, token, language } = state;
  const words = WORDS[language];
  const hadFocus = element.contains(document.activeElement);
  const names = view.input.tokens.map(passageTokenName);
  const strip = html("div");
  const share = (source: number) => readOf(data, state.setting, head, token, source) / state.largest;
  const options = { selected: token, onSelect: onToken };
  drawStrip(strip, view.input.tokens, options, words.choose, (source) =>
    source > token || share(source) < LEAST ? {} : { share: share(source), label: percent(data.weight(head, token, source)) },
  );
  element.replaceChildren(
    html("h4", {}, words.title(head, data.layer)),
    html(
      "div",
      { class: "attention-detail" },
      drawLarge(state, names, onToken),
      html("div", {}, html("p", { class: "attention-reads" }, words.reads(names[token]!)), strip, drawReads(state, names)),
    ),
  );
  if (hadFocus) {
    element.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
  }
}

function drawLarge(state: HeadState, names: readonly string[], onToken: (token: number) => void): HTMLElement {
  const { data, setting, head, token, largest, language } = state;
  const words = WORDS[language];
  const start = triangleStart(data);
  const rows = data.tokens - start;
  const cell = Math.max(CELL.smallest, Math.min(CELL.largest, Math.floor(CELL.all / rows)));
  const side = cell * rows;
  const triangle = drawTriangle(data, setting, head, largest);
  triangle.setAttribute("width", String(side));
  triangle.setAttribute("height", String(side));
  const picture = svg("svg", { class: "large", width: side + LABEL, height: side, role: "img", "aria-label": words.triangle });
  picture.append(triangle);
  if (token >= start) {
    const width = (token - start + 1) * cell;
    picture.append(svg("rect", { class: "chosen", x: 0, y: (token - start) * cell, width, height: cell }));
  }
  names.slice(start).forEach((name, at) => {
    const chosen = start + at === token;
    if (cell >= LABEL_FROM || chosen) {
      const place = { x: (at + 1) * cell + 5, y: (at + 0.5) * cell, dy: "0.35em" };
      picture.append(svg("text", { class: chosen ? "token chosen" : "token", ...place }, name));
    }
  });
  const readout = html("p", { class: "note" }, words.point);
  const placeOf = (event: PointerEvent | MouseEvent) => {
    const box = picture.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top) / cell);
    const column = Math.floor((event.clientX - box.left) / cell);
    return { row: start + Math.max(0, Math.min(rows - 1, row)), column: start + Math.max(0, column) };
  };
  picture.addEventListener("pointermove", (event) => {
    const { row, column } = placeOf(event);
    if (column <= row) {
      const weight = data.weight(head, row, column);
      const size = number(weight * data.size(head, column));
      fill(readout, words.cell(names[row]!, names[column]!, percent(weight), size));
    }
  });
  picture.addEventListener("click", (event) => onToken(placeOf(event).row));
  const region = { class: "attention-scroll", role: "region", "aria-label": words.title(head, data.layer), tabindex: 0 };
  return html("div", { class: "attention-large" }, html("div", region, picture), readout);
}

function drawReads(state: HeadState, names: readonly string[]): HTMLElement {
  const { data, view, setting, head, token, largest, language } = state;
  const words = WORDS[language];
  const sources = Array.from({ length: token + 1 }, (_, source) => source).filter((source) => source > 0 || !setting.hideFirst);
  const read = (source: number) => readOf(data, setting, head, token, source);
  const order = sources.sort((one, other) => read(other) - read(one));
  const listed = order.slice(0, MOST_READS).filter((source) => data.weight(head, token, source) > 0);
  const rows = listed.map((source) => {
    const weight = data.weight(head, token, source);
    const size = data.size(head, source);
    const bar = html("th", { scope: "row", class: "token" }, html("span", {}, names[source]!));
    bar.style.setProperty("--share", `${(100 * read(source)) / largest}%`);
    const cells = [percent(weight), number(size), number(weight * size)].map((text) => html("td", { class: "number" }, text));
    return html("tr", {}, bar, ...cells);
  });
  const rest = order.slice(listed.length);
  const weightOf = (some: number[]) => percent(some.reduce((sum, source) => sum + data.weight(head, token, source), 0));
  const remarks = [
    rest.length ? words.rest(rest.length, weightOf(rest)) : "",
    setting.hideFirst ? words.hidden(weightOf([0])) : "",
    words.exact(percent(view.body.weights.error ?? NaN)),
  ];
  const heads = words.columns.map((column) => html("th", { scope: "col" }, column));
  return html(
    "div",
    {},
    html("table", { class: "attention-table" }, html("thead", {}, html("tr", {}, ...heads)), html("tbody", {}, ...rows)),
    html("p", { class: "note" }, joinSentences(remarks, language)),
  );
}
