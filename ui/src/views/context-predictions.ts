/** What each layer would predict at one place in two sentences. */

import { html } from "../dom";
import { layerName } from "../layers";
import type { Prediction } from "../prediction";
import { makeSwitch } from "../switch";
import { percent } from "../text";
import { placeName, type PairState } from "./context-places";

const WORDS = {
  en: {
    title: "What each layer would predict next",
    place: "At which place",
    layer: "layer",
    sentence: (number: number) => `sentence ${number}`,
    model: "model",
    identical: "Both sentences have the same tokens up to here, so the predictions are the same.",
    note: "≠ marks the layers in which the two sentences give different tokens.",
  },
  zh: {
    title: "每一层接下来会预测什么",
    place: "在哪个位置",
    layer: "层",
    sentence: (number: number) => `第 ${number} 句`,
    model: "模型",
    identical: "到这里为止两句的 token 完全一样，所以预测也一样。",
    note: "≠ 表示这一层对两句给出的 token 不同。",
  },
} as const;

export interface PredictionTable {
  /** Marks the row of a state. */
  showRow(row: number): void;
}

export function drawPredictions(element: HTMLElement, state: PairState): PredictionTable {
  const words = WORDS[state.language];
  const different = state.groups.findIndex((group) => !state.data.same(group[0]!, state.one, state.other));
  const start = Math.min(state.kept.read("place", Math.max(0, different)), state.groups.length - 1);
  const table = html("div");
  let rows: HTMLElement[] = [];
  const show = (at: number) => {
    const group = state.groups[at]!;
    rows = state.data.rows.map((_, row) => drawRow(state, group[0]!, row));
    const heads = [words.layer, words.sentence(state.one + 1), "", words.sentence(state.other + 1)];
    const head = html("tr", {}, ...heads.map((text) => (text ? html("th", { scope: "col" }, text) : html("td"))));
    table.replaceChildren(
      html("p", { class: "note" }, state.data.same(group[0]!, state.one, state.other) ? words.identical : words.note),
      html("table", { class: "context-predictions" }, html("thead", {}, head), html("tbody", {}, ...rows)),
    );
  };
  const choose = (at: number) => {
    state.kept.write("place", at);
    show(at);
  };
  const choices = state.groups.map((group, at) => ({ value: String(at), text: placeName(group, state.language) }));
  const control =
    choices.length > 1
      ? html("div", { class: "controls" }, makeSwitch(words.place, choices, String(start), (value) => choose(Number(value))))
      : html("h4", {}, choices[0]!.text);
  element.replaceChildren(html("h3", {}, words.title), control, table);
  show(start);
  return { showRow: (row) => rows.forEach((line, at) => line.classList.toggle("current", at === row)) };
}

function drawRow(state: PairState, place: number, row: number): HTMLTableRowElement {
  const { data, one, other, language } = state;
  const [first, second] = [one, other].map((sentence) => data.prediction(place, row, sentence));
  const layer = data.rows[row] === "embedding" ? layerName(data.rows, row, language) : data.rows[row]!;
  const model = row === data.rows.length - 1 ? ` = ${WORDS[language].model}` : "";
  return html(
    "tr",
    {},
    html("th", { scope: "row" }, `${layer}${model}`),
    drawPrediction(first!),
    html("td", { class: "sign" }, first!.name === second!.name ? "" : "≠"),
    drawPrediction(second!),
  );
}

function drawPrediction({ name, probability }: Prediction): HTMLTableCellElement {
  const share = html("span", { class: "number" }, percent(probability));
  const cell = html("td", { class: "prediction" }, html("span", { class: "token" }, name), share);
  cell.style.setProperty("--share", `${100 * probability}%`);
  return cell;
}
