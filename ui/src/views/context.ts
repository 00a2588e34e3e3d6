/** One word in several sentences: how its vector changes, layer by layer, with what was read before it. */

import type { Draw, Language } from "../draw";
import { html } from "../dom";
import { makeSwitch, type Choice } from "../switch";
import { joinSentences, passageTokenName, percent, visible } from "../text";
import type { ContextView, WordInSentence } from "../types";
import { drawPlaces } from "./context-places";
import { drawPredictions } from "./context-predictions";
import { differentPlaces, pairs, readContext, type Measure } from "./context-data";
import "../figure.css";
import "./context.css";

const WORDS = {
  en: {
    sentences: (word: string) => `“${word}” in the sentences`,
    cut: (count: number) => `The tokenizer cuts the word into ${count} tokens.`,
    merged: (covered: string, word: string) =>
      `The tokenizer joins the word with its neighbours: its tokens cover “${covered}”, so there is no vector of “${word}” alone.`,
    similar: "How similar the vectors are, layer by layer",
    how: "1: the same direction. The grey band is what two unrelated words have (mean ± standard deviation of random pairs). Above the band, the model treats the two alike.",
    pair: "Compare sentences",
    measure: "Which cosine",
    standardised: "Standardised cosine",
    cosine: "Raw cosine",
    occurrence: (number: number, count: number) => `The word occurs ${count} times; this is occurrence ${number}.`,
    reads: "Where the word reads from",
    readsHow:
      "The strongest reads at the word’s last token, without the token itself and the first token of the text. The share is weight × size of the value, divided by the length of the vector into which the layer reads: that vector grows from layer to layer. It can exceed 100 %, because what one head adds, others can cancel.",
    columns: ["token", "share", "weight", "where"],
    head: (layer: number, head: number) => `layer ${layer}, head ${head}`,
    nothing: "Nothing: there is no other token before the word.",
  },
  zh: {
    sentences: (word: string) => `这些句子里的“${word}”`,
    cut: (count: number) => `分词器把这个词切成了 ${count} 个 token。`,
    merged: (covered: string, word: string) =>
      `分词器把这个词和旁边的字合在了一起：这些 token 覆盖“${covered}”，所以没有单独属于“${word}”的向量。`,
    similar: "向量有多相似，逐层来看",
    how: "1 表示方向相同。灰色带是两个不相干的词的水平（随机词对的均值 ± 标准差）。高于灰色带，说明模型把两处当作相近的东西。",
    pair: "比较句子",
    measure: "用哪种余弦",
    standardised: "标准化余弦",
    cosine: "原始余弦",
    occurrence: (number: number, count: number) => `这个词出现了 ${count} 次，这里看的是第 ${number} 次。`,
    reads: "这个词从哪里读取信息",
    readsHow:
      "在这个词的最后一个 token 处最强的读取，不算它自己和文本的首个 token。占比是权重 × value 的大小，除以这一层读入之前那个向量的长度：那个向量逐层变长。占比可以超过 100%，因为一个头加上的，别的头会抵消。",
    columns: ["token", "占比", "权重", "位置"],
    head: (layer: number, head: number) => `第 ${layer} 层，头 ${head}`,
    nothing: "没有：词前面没有别的 token。",
  },
} as const;

export const drawContext: Draw<ContextView> = (element, view, options) => {
  const { language, kept } = options;
  const words = WORDS[language];
  const { sentences } = view.body;
  const data = readContext(view);
  const everyPair = pairs(sentences.length);
  let pair = kept.read("pair", 0);
  let measure = kept.read<Measure>("measure", "standardised");
  const places = html("div", { class: "context-places" });
  const predictions = html("div");
  const lines = sentences.map((sentence, at) => drawSentence(sentence, at, view.body.word, language));

  const drawPair = () => {
    const [one, other] = everyPair[pair]!;
    const groups = differentPlaces(sentences[one]!, sentences[other]!);
    const state = { data, sentences, one, other, groups, language, kept };
    const table = drawPredictions(predictions, state);
    drawPlaces(places, state, measure, table.showRow);
    lines.forEach((line, at) => line.classList.toggle("compared", at === one || at === other));
  };
  const pairChoices = everyPair.map(([first, second], at) => ({ value: String(at), text: `${first + 1} · ${second + 1}` }));
  const pairSwitch = makeSwitch(words.pair, pairChoices, String(pair), (at) => {
    pair = Number(at);
    kept.write("pair", pair);
    drawPair();
  });
  const pairControl = everyPair.length > 1 ? [html("span", {}, words.pair), pairSwitch] : [];
  const measures: Choice<Measure>[] = [
    { value: "standardised", text: words.standardised },
    { value: "cosine", text: words.cosine },
  ];
  const measureSwitch = makeSwitch(words.measure, measures, measure, (value) => {
    measure = value;
    kept.write("measure", measure);
    drawPair();
  });
  element.append(
    html(
      "div",
      { class: "figure context" },
      html("h3", {}, words.sentences(visible(view.body.word))),
      html("ol", { class: "context-sentences" }, ...lines),
      html("h3", {}, words.similar),
      html("p", { class: "note" }, words.how),
      html("div", { class: "controls" }, ...pairControl, measureSwitch),
      places,
      predictions,
      html("h3", {}, words.reads),
      html("p", { class: "note" }, words.readsHow),
      html("div", { class: "context-reads" }, ...sentences.map((sentence, at) => drawReads(sentence, at, language))),
    ),
  );
  drawPair();
  const select = (index: number | null) => {
    lines[0]!.querySelectorAll(".context-token").forEach((token, at) => token.classList.toggle("chosen", at === index));
  };
  select(options.selected);
  return { select };
};

function drawSentence(sentence: WordInSentence, at: number, word: string, language: Language): HTMLElement {
  const words = WORDS[language];
  const [start, end] = sentence.span;
  const tokens = sentence.input.tokens.map((token) => {
    const inside = start <= token.index && token.index < end;
    const classes = `context-token token${inside ? " word" : ""}${token.special ? " special" : ""}`;
    return html(inside ? "mark" : "span", { class: classes }, passageTokenName(token));
  });
  const merged = sentence.covered.trim() !== word.trim();
  const remark = merged ? words.merged(visible(sentence.covered.trim()), visible(word)) : end - start > 1 ? words.cut(end - start) : "";
  const line = html("div", { class: "context-line" }, ...tokens);
  const [occurrence = 0, count = 1] = sentence.occurrence;
  const again = count > 1 ? words.occurrence(occurrence + 1, count) : "";
  const remarks = remark || again ? [html("p", { class: "note" }, joinSentences([remark, again], language))] : [];
  return html("li", {}, html("b", {}, String(at + 1)), html("div", {}, line, ...remarks));
}

function drawReads(sentence: WordInSentence, at: number, language: Language): HTMLElement {
  const words = WORDS[language];
  const title = html("h4", {}, html("b", {}, String(at + 1)), " ", visible(sentence.input.text));
  if (!sentence.reads.length) {
    return html("div", {}, title, html("p", { class: "note" }, words.nothing));
  }
  const most = Math.max(...sentence.reads.map((read) => read.share ?? 0)) || 1;
  const rows = sentence.reads.map((read) => {
    const source = html("th", { scope: "row", class: "token" }, passageTokenName(sentence.input.tokens[read.source]!));
    source.style.setProperty("--share", `${(100 * (read.share ?? 0)) / most}%`);
    return html(
      "tr",
      {},
      source,
      html("td", { class: "number" }, percent(read.share ?? NaN)),
      html("td", { class: "number" }, percent(read.weight ?? NaN)),
      html("td", {}, words.head(read.layer, read.head)),
    );
  });
  const heads = words.columns.map((column) => html("th", { scope: "col" }, column));
  const head = html("thead", {}, html("tr", {}, ...heads));
  return html("div", {}, title, html("table", {}, head, html("tbody", {}, ...rows)));
}
