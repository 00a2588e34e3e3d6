/** Two sentences at each place where they are read: a chart of the cosine over the layers, or the words "identical". */

import { drawChart } from "../chart";
import type { Kept, Language } from "../draw";
import { html } from "../dom";
import { layerInSentence, layerName, layerScale } from "../layers";
import { floorTo, linearScale } from "../scale";
import { fixed, passageTokenName, percent } from "../text";
import type { WordInSentence } from "../types";
import { leastSimilar, type ContextData, type Measure } from "./context-data";

const STEP = 0.25; // the vertical axis begins at a multiple of it,
const LINES = [-1, -0.5, 0, 0.5, 1]; // and has lines at these values
const DECIMALS = 3;
const WIDEST = 390; // pixels of a chart

export const PLACE_WORDS = {
  en: {
    names: ["First token of the word", "Last token of the word", "End of the sentence"],
    one: "The word (one token)",
    and: " and ",
  },
  zh: {
    names: ["词的第一个 token", "词的最后一个 token", "句末"],
    one: "这个词（一个 token）",
    and: "，也是",
  },
} as const;

const WORDS = {
  en: {
    random: "random pairs",
    identical: "Identical in every layer",
    why: "Both sentences have the same tokens up to here, and the model reads from left to right: it cannot see what comes later.",
    least: (layer: string, value: string) => `Least similar after ${layer}: ${value}.`,
    at: (layer: string, value: string, mean: string, deviation: string, difference: string) =>
      `${layer}: cosine ${value}; random pairs ${mean} ± ${deviation}; the vectors differ by ${difference} of their length`,
    chart: (place: string) => `Cosine over the layers: ${place}`,
  },
  zh: {
    random: "随机词对",
    identical: "每一层都完全相同",
    why: "到这里为止，两句的 token 完全一样；模型从左往右读，看不到后面的内容。",
    least: (layer: string, value: string) => `最不相似的是${layer}之后：${value}。`,
    at: (layer: string, value: string, mean: string, deviation: string, difference: string) =>
      `${layer}：余弦 ${value}；随机词对 ${mean} ± ${deviation}；两个向量之差是其长度的 ${difference}`,
    chart: (place: string) => `余弦随层数的变化：${place}`,
  },
} as const;

export interface PairState {
  data: ContextData;
  sentences: readonly WordInSentence[];
  one: number;
  other: number;
  /** Places that are at the same tokens are together. */
  groups: readonly number[][];
  language: Language;
  kept: Kept;
}

export function placeName(group: readonly number[], language: Language): string {
  const { names, one, and } = PLACE_WORDS[language];
  const [first, ...others] = group.map((place) => names[place]!);
  if (group[0] === 0 && group[1] === 1) {
    return [one, ...group.slice(2).map((place) => lower(names[place]!))].join(and);
  }
  return [first, ...others.map(lower)].join(and);
}

function lower(text: string): string {
  return text[0]!.toLowerCase() + text.slice(1);
}

type OnRow = (row: number) => void;

export function drawPlaces(element: HTMLElement, state: PairState, measure: Measure, onRow: OnRow): void {
  element.replaceChildren(...state.groups.map((group) => drawPlace(state, group, measure, onRow)));
}

function drawPlace(state: PairState, group: readonly number[], measure: Measure, onRow: OnRow): HTMLElement {
  const { data, one, other, sentences, language } = state;
  const words = WORDS[language];
  const place = group[0]!;
  const name = placeName(group, language);
  const tokens = [one, other].map((sentence) => {
    const { input, places } = sentences[sentence]!;
    const token = passageTokenName(input.tokens[places[place]!]!);
    return html("span", {}, html("b", {}, String(sentence + 1)), html("span", { class: "token" }, token));
  });
  const card = html("section", {}, html("h4", {}, name), html("p", { class: "context-pair" }, ...tokens));
  if (data.same(place, one, other)) {
    const reason = html("p", {}, words.why);
    card.append(html("div", { class: "context-identical" }, html("strong", {}, `= ${words.identical}`), reason));
  } else {
    card.append(drawCosines(state, place, name, measure, onRow));
  }
  return card;
}

function drawCosines(state: PairState, place: number, name: string, measure: Measure, onRow: OnRow): HTMLElement {
  const { data, one, other, language } = state;
  const words = WORDS[language];
  const values = data.rows.map((_, row) => data.cosines[measure].at(place, row, one, other));
  const means = data.rows.map((_, row) => data.baselines[measure].at(row, 0));
  const deviations = data.rows.map((_, row) => data.baselines[measure].at(row, 1));
  const low = means.map((mean, row) => mean - deviations[row]!);
  const high = means.map((mean, row) => mean + deviations[row]!);
  const floor = floorTo(STEP, [0, ...values, ...low]);
  const lines = LINES.filter((value) => value >= floor);
  const least = leastSimilar(values);
  const sentence = words.least(layerInSentence(data.rows, least, language), fixed(values[least]!, DECIMALS));
  const box = html("div", {}, html("p", { class: "note" }, sentence));
  drawChart(box, {
    label: words.chart(name),
    curves: [{ points: values.map((value, row) => [row, value] as const), main: true }],
    x: layerScale(data.rows, language),
    y: linearScale(floor, 1, lines, (value) => String(value).replace("-", "−")),
    widest: WIDEST,
    band: { low, high, name: words.random },
    describe: (row) =>
      words.at(
        layerName(data.rows, row, language),
        fixed(values[row]!, DECIMALS),
        fixed(means[row]!, DECIMALS),
        fixed(deviations[row]!, 2),
        percent(data.difference.at(place, row, one, other)),
      ),
    onMove: onRow,
  });
  return box;
}
