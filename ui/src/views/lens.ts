/** The lens: a grid of what each layer predicts after every token, and one column of it in detail. */

import type { Draw, Language, Options } from "../draw";
import { html } from "../dom";
import { hint } from "../hint";
import { layerName, shortLayerName } from "../layers";
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
    after: "after",
    only: (count: number, all: number) => `The last ${count} of ${all} tokens are shown.`,
  },
  zh: {
    grid: "每一层在每个 token 之后会预测什么",
    how: "一列对应文本里的一个 token。从上往下，每一格是假如模型在这一层停下、最可能的下一个 token。最后一行就是模型自己的预测。点一格，看这一列的详情。",
    colour: "所预测 token 的概率",
    leads: "从这一层起，预测的已经是模型最终的答案",
    after: "之后",
    only: (count: number, all: number) => `只显示 ${all} 个 token 中的最后 ${count} 个。`,
  },
} as const;

export const drawLens: Draw<LensView> = (element, view, options) => {
  const data = readLens(view);
  const words = WORDS[options.language];
  const names = data.positions.map((index) => passageTokenName(view.input.tokens[index]!));
  const column = html("div", { class: "lens-column" });
  const frame = html("div", { class: "lens-scroll", role: "region", "aria-label": words.grid, tabindex: 0 });
  const grid = drawGrid(data, names, options, (position, tell) => {
    show(position);
    if (tell) {
      options.onSelect(data.positions[position]!);
    }
  });
  frame.append(grid.table);
  const hidden = view.input.tokens.length - data.positions.length;
  element.append(
    html(
      "div",
      { class: "figure lens" },
      html("h3", {}, words.grid),
      html("p", { class: "note" }, joinSentences([words.how, hidden ? words.only(names.length, view.input.tokens.length) : ""], options.language)),
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

type Choose = (position: number, tell: boolean) => void;

/** The grid. One cell can be reached with the Tab key, the others with the arrow keys. */
function drawGrid(data: LensData, names: readonly string[], options: Options, choose: Choose) {
  const { language } = options;
  const words = WORDS[language];
  const head = html("tr", {}, html("td", {}), ...names.map((name) => html("th", { scope: "col", class: "token", title: name }, name)));
  const cells: HTMLTableCellElement[][] = [];
  const body = data.rows.map((_, row) => {
    const line = names.map((name, position) => drawCell(data, position, row, name, language));
    cells.push(line);
    const isModel = row === data.rows.length - 1;
    const text = isModel ? (language === "zh" ? "模型" : "model") : shortLayerName(data.rows, row, language);
    return html("tr", { class: isModel ? "model" : undefined }, html("th", { scope: "row" }, text), ...line);
  });
  const table = html("table", { role: "grid", "aria-label": words.grid }, html("thead", {}, head), html("tbody", {}, ...body));
  let focused = { row: data.rows.length - 1, position: names.length - 1 };

  function focusable(row: number, position: number): void {
    cells[focused.row]![focused.position]!.tabIndex = -1;
    focused = { row, position };
    cells[row]![position]!.tabIndex = 0;
  }

  table.addEventListener("click", (event) => {
    const place = placeOfCell(cells, event.target);
    if (place) {
      focusable(place.row, place.position);
      choose(place.position, true);
    }
  });
  table.addEventListener("keydown", (event) => {
    const steps: Record<string, [number, number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      Home: [0, -names.length],
      End: [0, names.length],
    };
    const step = steps[event.key];
    if (step && placeOfCell(cells, event.target)) {
      event.preventDefault();
      const row = Math.max(0, Math.min(data.rows.length - 1, focused.row + step[0]));
      const position = Math.max(0, Math.min(names.length - 1, focused.position + step[1]));
      const moved = position !== focused.position;
      focusable(row, position);
      cells[row]![position]!.focus();
      if (moved) {
        choose(position, true);
      }
    }
  });

  /** Returns the head of the chosen column. */
  function show(position: number): HTMLElement {
    focusable(focused.row, position);
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
  const cell = html("td", { role: "gridcell", class: lead ? "token lead" : "token", tabindex: -1 }, html("span", {}, predicted));
  cell.style.setProperty("--share", `${Math.round(100 * probability)}%`);
  hint(cell, () => {
    const list = predictions.map((each) => `${each.name} ${percent(each.probability)}`).join("\n");
    const where = language === "zh" ? `${name} 之后，${layerName(data.rows, row, language)}` : `after ${name}, ${layerName(data.rows, row, language)}`;
    const entropy = number(data.entropy.at(position, row));
    const gap = number(data.divergence.at(position, row));
    const numbers =
      language === "zh" ? `熵 ${entropy} nat；与最终预测相差 ${gap} nat` : `entropy ${entropy} nats; ${gap} nats to the final prediction`;
    return `${where}\n${list}\n${numbers}`;
  });
  return cell;
}

function placeOfCell(cells: readonly HTMLTableCellElement[][], target: EventTarget | null) {
  const cell = target instanceof Element ? target.closest("td") : null;
  const row = cell ? cells.findIndex((line) => line.includes(cell)) : -1;
  return row < 0 ? null : { row, position: cells[row]!.indexOf(cell!) };
}
