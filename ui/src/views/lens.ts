/** The lens: a grid of what each layer predicts after every token, and one column of it in detail. */

import type { Draw, Language } from "../draw";
import { html } from "../dom";
import { addGridKeys } from "../grid-keys";
import { hint } from "../hint";
import { layerInSentence, shortLayerName } from "../layers";
import { wordsInWords } from "../next-word";
import { joinSentences, number, passageTokenName, percent } from "../text";
import type { LensView } from "../types";
import { drawLensColumn } from "./lens-column";
import { readLens, type LensData } from "./lens-data";
import "../figure.css";
import "./lens.css";

const WORDS = {
  en: {
    grid: "What each layer predicts after every token",
    how: "A column is a token of the text. From top to bottom, each cell is the most likely next token if the model stopped after that layer. The last row is the model itself. Choose a cell to see its column.",
    colour: "probability of the predicted token",
    leads: "from here on, the layer already predicts what the model predicts",
    cell: (name: string, layer: string) => `after “${name}”, ${layer}`,
    numbers: (entropy: string, gap: string) => `entropy ${entropy} nats; ${gap} nats to the final prediction (1 nat: a factor of e ≈ 2.7)`,
    only: (count: number, all: number) => `The last ${count} of ${all} tokens are shown.`,
  },
  zh: {
    grid: "每一层在每个 token 之后会预测什么",
    how: "一列对应文本里的一个 token。从上往下，每一格是假如模型在这一层停下、最可能的下一个 token。最后一行就是模型自己的预测。点一格，看这一列的详情。",
    colour: "所预测 token 的概率",
    leads: "从这一层起，预测的已经是模型最终的答案",
    cell: (name: string, layer: string) => `“${name}”之后，${layer}`,
    numbers: (entropy: string, gap: string) => `熵 ${entropy} nat；与最终预测相差 ${gap} nat（1 nat 即 e ≈ 2.7 倍）`,
    only: (count: number, all: number) => `只显示 ${all} 个 token 中的最后 ${count} 个。`,
  },
} as const;

export const drawLens: Draw<LensView> = (element, view, options) => {
  const data = readLens(view);
  const words = WORDS[options.language];
  const names = data.positions.map((index) => passageTokenName(view.input.tokens[index]!));
  const column = html("div", { class: "lens-column" });
  const frame = html("div", { class: "lens-scroll", role: "region", "aria-label": words.grid, tabindex: 0 });
  const grid = drawGrid(data, names, options.language, (position) => {
    show(position);
    options.onSelect(data.positions[position]!);
  });
  frame.append(grid.table);
  const all = view.input.tokens.length;
  const given = wordsInWords(view.body.words, options.language);
  const only = all > names.length ? words.only(names.length, all) : "";
  element.append(
    html(
      "div",
      { class: "figure lens" },
      html("h3", {}, words.grid),
      html("p", { class: "note" }, joinSentences([words.how, only, given], options.language)),
      frame,
      drawLegend(options.language),
      column,
    ),
  );

  function show(position: number): void {
    const head = grid.show(position);
    revealColumn(frame, head);
    column.replaceChildren();
    drawLensColumn(column, data, position, names[position]!, options.language);
  }

  const placeOf = (index: number | null) => {
    const at = index === null ? -1 : data.positions.indexOf(index);
    return at < 0 ? data.positions.length - 1 : at;
  };
  show(placeOf(options.selected));
  return { select: (index) => show(placeOf(index)) };
};

/** Scrolls the grid, and only the grid, if a column is not in view. */
function revealColumn(frame: HTMLElement, head: HTMLElement): void {
  const place = head.getBoundingClientRect();
  const view = frame.getBoundingClientRect();
  if (place.left < view.left + place.width || place.right > view.right) {
    frame.scrollLeft += (place.left + place.right - view.left - view.right) / 2;
  }
}

function drawLegend(language: Language): HTMLElement {
  const words = WORDS[language];
  return html(
    "p",
    { class: "lens-legend" },
    html("span", { class: "lens-ramp", "aria-hidden": "true" }),
    `0–100% ${words.colour}`,
    html("span", { class: "lens-lead-sign", "aria-hidden": "true" }),
    words.leads,
  );
}

function drawGrid(data: LensData, names: readonly string[], language: Language, choose: (position: number) => void) {
  const words = WORDS[language];
  const heads = names.map((name) => html("th", { scope: "col", class: "token", title: name }, name));
  const head = html("tr", {}, html("td", {}), ...heads);
  const cells: HTMLTableCellElement[][] = [];
  const body = data.rows.map((_, row) => {
    const line = names.map((name, position) => drawCell(data, position, row, name, language));
    cells.push(line);
    const isModel = row === data.rows.length - 1;
    const text = isModel ? (language === "zh" ? "模型" : "model") : shortLayerName(data.rows, row, language);
    return html("tr", { class: isModel ? "model" : undefined }, html("th", { scope: "row" }, text), ...line);
  });
  const table = html("table", { role: "grid", "aria-label": words.grid }, html("thead", {}, head), html("tbody", {}, ...body));
  const start = { row: data.rows.length - 1, column: names.length - 1 };
  const keys = addGridKeys(table, cells, start, (to, from) => {
    if (to.column !== from.column) {
      choose(to.column);
    }
  });
  cells.forEach((line, row) =>
    line.forEach((cell, column) =>
      cell.addEventListener("click", () => {
        keys.reach({ row, column });
        choose(column);
      }),
    ),
  );

  /** Returns the head of the chosen column. */
  function show(position: number): HTMLElement {
    keys.reach({ row: keys.place.row, column: position });
    for (const [at, name] of [...head.children].entries()) {
      name.classList.toggle("chosen", at === position + 1);
    }
    for (const line of cells) {
      line.forEach((cell, at) => cell.setAttribute("aria-selected", String(at === position)));
    }
    return head.children[position + 1] as HTMLElement;
  }
  return { table, show };
}

function drawCell(data: LensData, position: number, row: number, name: string, language: Language): HTMLTableCellElement {
  const predictions = data.predictions(position, row);
  const { name: predicted, probability } = predictions[0]!;
  const lead = row >= data.leadsFrom(position);
  const classes = lead ? "token lead" : "token";
  const cell = html("td", { role: "gridcell", class: classes, tabindex: -1 }, html("span", {}, predicted));
  cell.style.setProperty("--share", `${Math.round(100 * probability)}%`);
  hint(cell, () => {
    const list = predictions.map((each) => `${each.name} ${percent(each.probability)}`);
    const entropy = number(data.entropy.at(position, row));
    const gap = number(data.divergence.at(position, row));
    const where = WORDS[language].cell(name, layerInSentence(data.rows, row, language));
    return [where, ...list, WORDS[language].numbers(entropy, gap)].join("\n");
  });
  return cell;
}
