/** One step of learning on one text: the loss of every token, what the model predicts, and which weights move. */

import "./gradient.css";
import { drawCells, largest } from "../cells";
import { html } from "../dom";
import type { Draw, Drawing, Language, Options } from "../draw";
import { unpack, type NumberArray } from "../packed";
import { bar, columns, drawReadout, explained, noteOf, rowsHead, section, sentence } from "../parts";
import { number, passageTokenName, percent, say, signed, tokenName } from "../text";
import type { GradientView, WeightMove } from "../types";

const LISTED = 8;

export const drawGradient: Draw<GradientView> = (element, view, options) => {
  const { language } = options;
  drawSummary(element, view, language);
  const parts = columns(element);
  const losses = drawLosses(parts, view, { ...options, onSelect: choose });
  const predictions = drawPredictions(parts, view, language);
  drawWeights(element, view, options);

  function follow(index: number | null): void {
    losses.select(index);
    predictions.select(index);
  }

  function choose(index: number | null): void {
    follow(index);
    options.onSelect(index);
  }

  follow(options.selected);
  return { select: follow };
};

function drawSummary(element: HTMLElement, { body }: GradientView, language: Language): void {
  const [before, after] = [body.loss ?? NaN, body.loss_after ?? NaN];
  const perToken = say(
    { en: "Mean of −log p over the text's tokens, in nats.", zh: "文本各 token 的 −log p 的平均值，单位 nat。" },
    language,
  );
  const lead = say({ en: "One step takes the loss from {before} to {after}.", zh: "走一步，损失从 {before} 变为 {after}。" }, language);
  const numbers = { before: explained(before.toFixed(3), perToken), after: explained(after.toFixed(3), perToken) };
  element.append(html("p", { class: "part-lead" }, ...sentence(lead, numbers)));
  const real = after - before;
  const expected = body.expected ?? NaN;
  const most = largest([real, expected]) || 1;
  const lines: [string, number][] = [
    [say({ en: "promised by the gradient", zh: "梯度预言的变化" }, language), expected],
    [say({ en: "real change", zh: "实际变化" }, language), real],
  ];
  const rows = html("div", { class: "rows gradient-change" });
  for (const [name, value] of lines) {
    const track = bar(Math.abs(value) / most);
    const change = html("span", { class: "number" }, signed(value, 3));
    rows.append(html("div", { class: "row" }, html("span", {}, name), track, change));
  }
  const move = percent(body.move ?? 0);
  const rate = number(body.rate ?? NaN);
  const note = say(
    {
      en:
        `All weights together move by ${move} of their length, straight down the gradient (learning rate ${rate}). ` +
        "The gradient promises a straight line; the loss is curved, so the real change is different.",
      zh:
        `全部权重合起来沿负梯度方向移动自身长度的 ${move}（学习率 ${rate}）。` +
        "梯度按直线预言，而损失是弯的，所以实际变化不同。",
    },
    language,
  );
  element.append(rows, html("p", { class: "note" }, note));
}

/** A row per token after the first, with its loss before and after the step. */
function drawLosses(element: HTMLElement, view: GradientView, options: Options): Drawing {
  const { language } = options;
  const before = unpack(view.body.losses);
  const after = unpack(view.body.losses_after);
  const most = largest([...before.values, ...after.values]) || 1;
  const part = section(
    element,
    say({ en: "The loss of every token", zh: "每个 token 的损失" }, language),
    noteOf(
      say(
        {
          en: "−log p of the token that follows, in nats: 0 is certain. Choose a token to see what was predicted in its place.",
          zh: "−log p（下一个 token 的概率），单位 nat，0 表示完全确定。选一个 token，看它的位置上预测了什么。",
        },
        language,
      ),
      language,
    ),
  );
  const keys = html("span", { class: "gradient-key" }, key("before", language), key("after", language));
  const rows = html("div", { class: "rows" }, rowsHead("token", keys, say({ en: "before → after", zh: "之前 → 之后" }, language)));
  const buttons = view.input.tokens.slice(1).map((token, p) => {
    const row = html(
      "button",
      { class: "row", type: "button", "aria-pressed": "false" },
      html("span", { class: "token" }, passageTokenName(token)),
      pair(before.at(p) / most, after.at(p) / most),
      html("span", { class: "number" }, `${before.at(p).toFixed(2)} → ${after.at(p).toFixed(2)}`),
    );
    row.addEventListener("click", () => options.onSelect(token.index));
    rows.append(row);
    return row;
  });
  part.append(rows);
  return { select: (index) => buttons.forEach((row, p) => row.setAttribute("aria-pressed", String(p + 1 === index))) };
}

/** Two bars, one above the other: hollow before the step, filled after it. */
function pair(before: number, after: number): HTMLElement {
  const first = bar(before);
  first.classList.add("gradient-before");
  return html("span", { class: "gradient-pair" }, first, bar(after));
}

function key(when: "before" | "after", language: Language): HTMLElement {
  const sample = html("span", { class: `gradient-sample ${when}`, "aria-hidden": "true" });
  const text = when === "before" ? { en: "before", zh: "之前" } : { en: "after the step", zh: "走一步之后" };
  return html("span", {}, sample, say(text, language));
}

/** The most likely tokens at the chosen place, before and after the step; if none is chosen, where the loss falls most. */
function drawPredictions(element: HTMLElement, view: GradientView, language: Language): Drawing {
  const { body, input } = view;
  const ids = unpack(body.top);
  const before = unpack(body.top_logprobs);
  const after = unpack(body.top_logprobs_after);
  const names = new Map(body.candidates.map((token) => [token.id, tokenName(token)]));
  const mostImproved = largestFall(unpack(body.losses), unpack(body.losses_after));
  const part = section(element, say({ en: "What the model predicts there", zh: "模型在那里的预测" }, language));
  const place = html("div", { "aria-live": "polite" });
  part.append(place);

  function select(index: number | null): void {
    const p = index ? index - 1 : mostImproved;
    const token = input.tokens[p + 1]!;
    const name = html("code", { class: "token token-mark" }, passageTokenName(token));
    const why = {
      en: "Nothing comes before the first token, so it is not predicted. ",
      zh: "第一个 token 前面什么都没有，所以不预测它。",
    };
    const where = say({ en: "In the place of {name}:", zh: "在 {name} 的位置上：" }, language);
    const text = index === 0 ? say(why, language) + where : where;
    const rows = html("div", { class: "rows" });
    for (let c = 0; c < (ids.shape[1] ?? 0); c++) {
      const id = ids.at(p, c);
      const [from, to] = [Math.exp(before.at(p, c)), Math.exp(after.at(p, c))];
      const right = id === token.id;
      const mark = right ? say({ en: "✓ in the text", zh: "✓ 原文" }, language) : "";
      const label = html("span", {}, html("span", { class: "token" }, names.get(id) ?? String(id)), html("small", {}, mark));
      const value = html("span", { class: "number" }, `${percent(from)} → ${percent(to)}`);
      rows.append(html("div", { class: "row" }, label, pair(from, to), value));
    }
    place.replaceChildren(html("p", { class: "gradient-place" }, ...sentence(text, { name })), rows);
  }

  return { select };
}

/** The place at which the loss falls most. */
export function largestFall(before: NumberArray, after: NumberArray): number {
  const falls = [...before.values].map((loss, p) => loss - after.at(p));
  return falls.indexOf(Math.max(...falls));
}

/** The tensors of the blocks as a picture of layers and kinds, and those that moved most as a list. */
function drawWeights(element: HTMLElement, view: GradientView, { language, kept }: Options): void {
  const { weights } = view.body;
  const part = section(
    element,
    say({ en: "Which weights move", zh: "哪些权重移动了" }, language),
    say(
      {
        en:
          "The area of a square is the tensor's share of the whole step. Embedding, final norm and head are in the list " +
          "below, if they moved enough.",
        zh: "方块的面积是这个张量在整个一步里所占的比例。嵌入、最后的归一化和输出层不在图里，移动得多时列在下面。",
      },
      language,
    ),
  );
  const parts = columns(part);
  const table = byKind(weights);
  const most = largest(weights.filter((each) => each.layer !== null).map((each) => each.share ?? 0)) || 1;
  if (table.kinds.length > 0) {
    const inWordsAt = (row: number, layer: number) => {
      const move = table.at(row, layer);
      return move ? inWords(move, language) : say({ en: "no such weights", zh: "没有这个权重" }, language);
    };
    const picture = html("div", {});
    parts.append(picture);
    const cells = drawCells(picture, {
      label: say({ en: "Shares of the step, by kind of weights and layer", zh: "按权重种类和层列出的移动比例" }, language),
      rowKind: say({ en: "weights", zh: "权重" }, language),
      columnKind: say({ en: "layer", zh: "层" }, language),
      rows: table.kinds.map((name) => html("code", {}, name)),
      columns: Array.from({ length: table.layers }, (_, layer) => String(layer)),
      share: (row, layer) => (table.at(row, layer)?.share ?? 0) / most,
      name: inWordsAt,
      onChoose(row, layer) {
        kept.write("weights", [row, layer]);
        readOut(inWordsAt(row, layer));
      },
    });
    const readOut = drawReadout(picture, "");
    const first = weights.find((each) => each.layer !== null)!;
    cells.choose(...kept.read<[number, number]>("weights", [table.kinds.indexOf(kindOf(first)), first.layer!]));
  }
  drawMoved(parts, weights.slice(0, LISTED), language);
}

function drawMoved(element: HTMLElement, weights: WeightMove[], language: Language): void {
  const rows = html("ol", { class: "rows gradient-list" });
  const most = weights[0]?.share || 1;
  for (const each of weights) {
    const row = html(
      "li",
      { class: "row" },
      html("span", {}, html("code", {}, ...breakable(each.name)), html("small", {}, each.shape.join(" × "))),
      bar((each.share ?? 0) / most),
      explained(percent(each.share ?? 0), inWords(each, language)),
    );
    rows.append(row);
  }
  const title = html("p", { class: "gradient-place" }, say({ en: "Those that moved most:", zh: "移动最多的：" }, language));
  element.append(html("div", {}, title, rows));
}

function inWords(move: WeightMove, language: Language): string {
  const share = percent(move.share ?? 0);
  const part = percent((move.change ?? 0) / (move.size || 1));
  const shape = move.shape.join(" × ");
  return say(
    {
      en: `${move.name} (${shape}) takes ${share} of the step, and moves by ${part} of its own length.`,
      zh: `${move.name}（${shape}）占整个一步的 ${share}，移动了自身长度的 ${part}。`,
    },
    language,
  );
}

/** A long name that may be broken after its dots. */
function breakable(name: string): (Node | string)[] {
  return name.split(/(?<=\.)/).flatMap((part) => [part, html("wbr")]);
}

/** The name of a tensor without the number of its block. */
export function kindOf(move: WeightMove): string {
  return move.name.replace(/^blocks\.\d+\./, "").replace(/\.weight$/, "");
}

/** The tensors of the blocks by kind and layer, the kinds in the order of the names. */
export function byKind(weights: readonly WeightMove[]): {
  kinds: string[];
  layers: number;
  at(row: number, layer: number): WeightMove | undefined;
} {
  const inBlocks = weights.filter((each) => each.layer !== null);
  const kinds = [...new Set(inBlocks.map(kindOf))].sort();
  const found = new Map(inBlocks.map((each) => [`${kindOf(each)} ${each.layer}`, each]));
  return {
    kinds,
    layers: Math.max(0, ...inBlocks.map((each) => each.layer! + 1)),
    at: (row, layer) => found.get(`${kinds[row]} ${layer}`),
  };
}
