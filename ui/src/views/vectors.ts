/** Vectors: the first numbers of every token's vector, its nearest neighbours, and a map. */

import type { Draw, Language } from "../draw";
import { html } from "../dom";
import { addGridKeys } from "../grid-keys";
import { hint } from "../hint";
import { fixed, joinSentences, number, tokenName } from "../text";
import type { TokenVector, VectorsView } from "../types";
import { drawMap } from "./vectors-map";
import { readPoints } from "./vectors-data";
import "../figure.css";
import "./vectors.css";

const SHOWN = 12; // tokens that are listed at first

const WORDS = {
  en: {
    title: "The vector of every token",
    how: (width: string, shown: number) =>
      `Each token has a row of ${width} numbers in the embedding table. Here are the first ${shown}, with their signs, the length of the row, and the tokens whose rows are most similar: the cosine of whole rows, after the mean of all rows was subtracted.`,
    factor: (factor: string, width: string) => `Before the first layer, this model multiplies the row by ${factor} (√${width}).`,
    positions: "Before the first layer, this model adds the vector of the token’s place in the text.",
    columns: (shown: number, width: string) => ["token", `numbers 1 to ${shown} of ${width}`, "length", "nearest neighbours"],
    cell: (place: number, value: string) => `number ${place}: ${value}`,
    all: (count: number) => `Show all ${count} tokens`,
    map: "Map of these vectors",
  },
  zh: {
    title: "每个 token 的向量",
    how: (width: string, shown: number) =>
      `每个 token 在词嵌入表里有一行，共 ${width} 个数。这里列出前 ${shown} 个数（带正负号）、这一行的长度，以及最相似的 token：用完整的行算余弦，先减去所有行的均值。`,
    factor: (factor: string, width: string) => `进入第一层之前，这个模型把这一行乘以 ${factor}（√${width}）。`,
    positions: "进入第一层之前，这个模型还要加上表示 token 所在位置的向量。",
    columns: (shown: number, width: string) => ["token", `第 1～${shown} 个数（共 ${width} 个）`, "长度", "最近的邻居"],
    cell: (place: number, value: string) => `第 ${place} 个数：${value}`,
    all: (count: number) => `显示全部 ${count} 个 token`,
    map: "这些向量的地图",
  },
} as const;

export const drawVectors: Draw<VectorsView> = (element, view, options) => {
  const { language, kept } = options;
  const words = WORDS[language];
  const { vectors } = view.body;
  const points = readPoints(view);
  const width = view.model.width.toLocaleString("en-US");
  const shown = vectors[0]!.first.length;
  const { factor, adds_positions } = view.body;
  const changes = [
    factor === null || factor === 1 ? "" : words.factor(number(factor), width),
    adds_positions ? words.positions : "",
  ];
  const largest = Math.max(...vectors.flatMap((vector) => vector.first.map((value) => Math.abs(value ?? 0)))) || 1;
  const choose = (vector: number | null) => {
    show(vector);
    const id = vector === null ? null : vectors[vector]!.token.id;
    const index = view.input.tokens.findIndex((token) => token.id === id);
    options.onSelect(index < 0 ? null : index);
  };
  const names = points.map((point) => point.name);
  const numbers = vectors.map((vector) => drawNumbers(vector, largest, language));
  const rows = vectors.map((vector, at) =>
    drawRow(vector, names, numbers[at]!, language, () => choose(rows[at]!.classList.contains("chosen") ? null : at)),
  );
  const table = drawTable(words.columns(shown, width), rows);
  addGridKeys(table, numbers, { row: 0, column: 0 });
  const more = html("button", { type: "button", class: "vectors-more" }, words.all(vectors.length));
  more.addEventListener("click", () => showAll());
  const place = html("div", { class: "vectors-map" });
  element.append(
    html(
      "div",
      { class: "figure vectors" },
      html("h3", {}, words.title),
      html("p", { class: "note" }, joinSentences([words.how(width, shown), ...changes], language)),
      table,
      ...(vectors.length > SHOWN ? [more] : []),
      html("h3", {}, words.map),
      place,
    ),
  );
  const map = drawMap(place, view, points, language, choose);
  rows.forEach((row, at) => (row.hidden = at >= SHOWN));
  if (kept.read("all", false)) {
    showAll();
  }

  function showAll(): void {
    kept.write("all", true);
    rows.forEach((row) => (row.hidden = false));
    more.hidden = true;
  }

  function show(vector: number | null): void {
    if (vector !== null && rows[vector]!.hidden) {
      showAll();
    }
    rows.forEach((row, at) => {
      row.classList.toggle("chosen", at === vector);
      row.querySelector("button")!.setAttribute("aria-pressed", String(at === vector));
    });
    map.select(vector);
  }

  const vectorOf = (index: number | null) => {
    const id = index === null ? undefined : view.input.tokens[index]?.id;
    const at = vectors.findIndex((vector) => vector.token.id === id);
    return at < 0 ? null : at;
  };
  show(vectorOf(options.selected));
  return { select: (index) => show(vectorOf(index)) };
};

function drawTable(columns: readonly string[], rows: readonly HTMLElement[]): HTMLElement {
  const heads = columns.map((text) => html("th", { scope: "col" }, text));
  const head = html("thead", {}, html("tr", {}, ...heads));
  return html("table", { class: "vectors-table" }, head, html("tbody", {}, ...rows));
}

function drawRow(
  vector: TokenVector,
  names: readonly string[],
  numbers: readonly HTMLElement[],
  language: Language,
  choose: () => void,
): HTMLTableRowElement {
  const words = WORDS[language];
  const button = html("button", { type: "button", class: "vectors-token token" }, tokenName(vector.token));
  button.addEventListener("click", choose);
  const neighbours = vector.neighbours.map((neighbour, at) => {
    const cosine = html("span", { class: "number" }, fixed(vector.cosines[at] ?? NaN, 2));
    return html("li", {}, html("span", { class: "token" }, names[neighbour]!), cosine);
  });
  return html(
    "tr",
    {},
    html("th", { scope: "row" }, button),
    html("td", {}, html("div", { class: "vectors-numbers" }, ...numbers)),
    html("td", { class: "vectors-size number", "data-label": words.columns(0, "")[2]! }, number(vector.size ?? NaN)),
    html("td", {}, html("ul", { class: "vectors-neighbours" }, ...neighbours)),
  );
}

/** The first numbers of a vector. The Tab key reaches one number of the whole table, the arrow keys the others. */
function drawNumbers(vector: TokenVector, largest: number, language: Language): HTMLElement[] {
  return vector.first.map((each, at) => {
    const value = each ?? NaN; // a number that is not finite
    const inWords = WORDS[language].cell(at + 1, String(value));
    const kind = `number ${value < 0 ? "against" : "toward"}`;
    const cell = html("span", { class: kind, role: "img", tabindex: -1, "aria-label": inWords }, fixed(value, decimalsOf(value)));
    cell.style.setProperty("--share", `${(100 * Math.abs(value)) / largest}%`);
    hint(cell, () => inWords);
    return cell;
  });
}

/** So many that all numbers are about equally wide: −0.86, 0.003. */
function decimalsOf(value: number): number {
  const size = Math.abs(value);
  return size < 0.1 ? 3 : size < 10 ? 2 : 1;
}
