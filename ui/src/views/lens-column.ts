/** One column of the lens: what every layer predicts after one token, and the followed tokens as lines over the layers. */

import { drawChart, sampleOf } from "../chart";
import type { Language } from "../draw";
import { html } from "../dom";
import { layerInSentence, layerName, layerScale } from "../layers";
import { noteOf } from "../parts";
import { linearScale, rankScale, type Scale } from "../scale";
import { fixed, number, percent } from "../text";
import type { LensData, TrackedToken } from "./lens-data";

const DASHES = [undefined, "6 3", "2 3", "8 3 2 3"];
const WIDEST = 390; // pixels of a chart
const TOPS = [0.02, 0.1, 0.2, 0.5, 1]; // of the axis of probabilities

const WORDS = {
  en: {
    after: (name: string) => `After “${name}”`,
    layer: "layer",
    predicts: "predicts",
    probability: "probability",
    entropy: "entropy",
    divergence: "nats to the end",
    model: "model",
    probabilities: "Probability, layer by layer",
    ranks: "Rank, layer by layer (1 is the most likely)",
    leads: (name: string, layer: string) => `“${name}” is the most likely token from ${layer} on.`,
    behind: (name: string, rank: string) => `“${name}” has rank ${rank} in the model’s own prediction.`,
    mark: (layer: string) => `leads from ${layer}`,
    rank: (rank: string) => `rank ${rank}`,
    at: (layer: string, values: string[]) => `${layer}: ${values.join(", ")}`,
    unit: "Entropy: how undecided the layer is. Nats to the end: how far its distribution is from the model’s own (KL divergence).",
  },
  zh: {
    after: (name: string) => `“${name}”之后`,
    layer: "层",
    predicts: "预测",
    probability: "概率",
    entropy: "熵",
    divergence: "离最终预测 (nat)",
    model: "模型",
    probabilities: "概率随层数的变化",
    ranks: "名次随层数的变化（1 是最可能的）",
    leads: (name: string, layer: string) => `“${name}”从${layer}起一直是最可能的 token。`,
    behind: (name: string, rank: string) => `“${name}”在模型的最终预测里排第 ${rank}。`,
    mark: (layer: string) => `${layer}起领先`,
    rank: (rank: string) => `第 ${rank} 名`,
    at: (layer: string, values: string[]) => `${layer}：${values.join("，")}`,
    unit: "熵表示这一层有多拿不准；离最终预测的距离是与模型自身分布的 KL 散度。",
  },
} as const;

export function drawLensColumn(
  element: HTMLElement,
  data: LensData,
  position: number,
  name: string,
  language: Language,
): void {
  const words = WORDS[language];
  const followed = data.followed(position);
  const show = (row: number) => {
    charts.forEach((chart) => chart.show(row));
    lines.forEach((line, at) => line.classList.toggle("current", at === row));
  };
  const lines = data.rows.map((_, row) => drawRow(data, position, row, language));
  lines.forEach((line, row) => line.addEventListener("pointerenter", () => show(row)));
  const ofRank = (rank: number) => words.rank(rankText(rank));
  const worst = Math.max(...followed.flatMap((each) => each.ranks));
  const most = Math.max(...followed.flatMap((each) => each.probabilities));
  const top = TOPS.find((each) => each >= most) ?? 1;
  const ofPercent = linearScale(0, top, [0, top / 2, top], (value) => `${100 * value}%`);
  const measures = [
    { title: words.probabilities, scale: ofPercent, valuesOf: (each: TrackedToken) => each.probabilities, text: percent },
    { title: words.ranks, scale: rankScale(worst), valuesOf: (each: TrackedToken) => each.ranks, text: ofRank },
  ].map((measure) => ({ ...measure, place: html("div", {}, html("h4", {}, measure.title)) }));
  element.append(
    html("h3", {}, words.after(name)),
    html("ul", { class: "lens-followed" }, ...followed.map((each, at) => drawLegend(data, each, at, language))),
    html(
      "div",
      { class: "lens-detail" },
      html("div", {}, drawTable(lines, language), noteOf(words.unit, language)),
      html("div", { class: "lens-charts" }, ...measures.map(({ place }) => place)),
    ),
  );
  const charts = measures.map((measure) => drawFollowed(measure, data, followed, show, language));
  show(data.rows.length - 1);
}

function rankText(rank: number): string {
  return rank.toLocaleString("en-US");
}

function drawTable(lines: HTMLElement[], language: Language): HTMLElement {
  const words = WORDS[language];
  const heads = [words.layer, words.predicts, words.probability, words.entropy, words.divergence];
  return html(
    "table",
    { class: "lens-table" },
    html("thead", {}, html("tr", {}, ...heads.map((head) => html("th", { scope: "col" }, head)))),
    html("tbody", {}, ...lines),
  );
}

function drawRow(data: LensData, position: number, row: number, language: Language): HTMLTableRowElement {
  const { name, probability } = data.predictions(position, row)[0]!;
  const isModel = row === data.rows.length - 1;
  const lead = row >= data.leadsFrom(position);
  const layer = data.rows[row] === "embedding" ? layerName(data.rows, row, language) : data.rows[row]!;
  const bar = html("td", { class: lead ? "lens-bar token lead" : "lens-bar token" }, html("span", {}, name));
  bar.style.setProperty("--share", `${100 * probability}%`);
  return html(
    "tr",
    {},
    html("th", { scope: "row" }, isModel ? `${layer} = ${WORDS[language].model}` : layer),
    bar,
    html("td", { class: "number" }, percent(probability)),
    html("td", { class: "number" }, fixed(data.entropy.at(position, row), 2)),
    html("td", { class: "number" }, number(data.divergence.at(position, row))),
  );
}

function drawLegend(data: LensData, followed: TrackedToken, at: number, language: Language): HTMLElement {
  const words = WORDS[language];
  const text =
    followed.leadsFrom === null
      ? words.behind(followed.name, rankText(followed.ranks[followed.ranks.length - 1]!))
      : words.leads(followed.name, layerInSentence(data.rows, followed.leadsFrom, language));
  return html("li", {}, sampleOf({ dashes: DASHES[at % DASHES.length], main: at === 0 }), text);
}

/** What one of the two charts shows of the followed tokens. */
interface FollowedChart {
  title: string;
  place: HTMLElement;
  scale: Scale;
  valuesOf(token: TrackedToken): number[];
  text(value: number): string;
}

function drawFollowed(
  { title, place, scale, valuesOf, text }: FollowedChart,
  data: LensData,
  followed: readonly TrackedToken[],
  onMove: (row: number) => void,
  language: Language,
) {
  const words = WORDS[language];
  const lead = followed[0]!.leadsFrom ?? data.rows.length - 1;
  return drawChart(place, {
    label: title,
    curves: followed.map((each, at) => ({
      points: valuesOf(each).map((value, row) => [row, value] as const),
      dashes: DASHES[at % DASHES.length],
      main: at === 0,
    })),
    x: layerScale(data.rows, language),
    y: scale,
    widest: WIDEST,
    mark: { x: lead, text: words.mark(layerInSentence(data.rows, lead, language)) },
    describe: (row) =>
      words.at(
        layerName(data.rows, row, language),
        followed.map((each) => `${each.name} ${text(valuesOf(each)[row]!)}`),
      ),
    onMove,
  });
}
