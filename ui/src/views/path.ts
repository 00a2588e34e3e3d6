/**
 * The whole way of a text through the model as one vertical picture: the line at the left is the residual stream; at every
 * stage, what comes out, what it costs and what it adds. A block can be opened to see its two parts.
 */

import "./path.css";
import { fill, html } from "../dom";
import { UNLINKED, type Bilingual, type Draw, type Kept, type Language } from "../draw";
import { addRowKeys } from "../grid-keys";
import { hint } from "../hint";
import { number, percent, say, tokenName } from "../text";
import type { PathStage, PathView } from "../types";

const STAGES: Record<string, { title: Bilingual; does: Bilingual }> = {
  text: { title: { en: "Text", zh: "文本" }, does: { en: "What you typed.", zh: "你输入的内容。" } },
  ids: {
    title: { en: "Token ids", zh: "token id" },
    does: { en: "The tokenizer cuts the text into tokens. Each is a number.", zh: "分词器把文本切成 token，每个 token 是一个数。" },
  },
  embedding: {
    title: { en: "Embedding", zh: "嵌入" },
    does: { en: "Each id picks one row of a table: its first vector.", zh: "每个 id 从一张表里取出一行：它最初的向量。" },
  },
  attention: {
    title: { en: "Attention", zh: "注意力" },
    does: { en: "Each token reads from itself and from the tokens before it, and adds what it read.", zh: "每个 token 从自己和前面的 token 读取信息，加到自己的向量上。" },
  },
  "feed-forward": {
    title: { en: "Feed-forward", zh: "前馈网络" },
    does: { en: "Each vector is processed by itself, and the result is added.", zh: "每个向量单独处理，结果加回去。" },
  },
  "final norm": {
    title: { en: "Final norm", zh: "最后的归一化" },
    does: { en: "All vectors are brought to a comparable size.", zh: "把所有向量调整到相近的大小。" },
  },
  logits: {
    title: { en: "Logits", zh: "logits" },
    does: { en: "The last vector is compared with every token of the vocabulary: one number each.", zh: "最后一个向量与词表里的每个 token 比较，各得一个数。" },
  },
  choice: {
    title: { en: "Choice", zh: "选择" },
    does: { en: "Softmax turns the logits into probabilities. The likeliest token is", zh: "softmax 把 logits 变成概率。概率最高的 token 是" },
  },
};
const WORDS = {
  shape: { en: "What comes out", zh: "输出" },
  cost: { en: "Computation", zh: "计算量" },
  adds: { en: "Length of the vectors", zh: "向量的长度" },
  characters: { en: " characters", zh: " 个字符" },
  see: { en: "See", zh: "查看" },
  stream: { en: "residual stream after it", zh: "之后的残差流" },
  openAll: { en: "Open all blocks", zh: "展开所有块" },
  closeAll: { en: "Close all blocks", zh: "收起所有块" },
  weights: { en: "weights", zh: "个权重" },
};

/** What all rows share: the language, and what a full bar stands for. */
interface Shared {
  language: Language;
  kept: Kept;
  flops: number;
  size: number;
}

export const drawPath: Draw<PathView> = (element, view, { language, kept }) => {
  const { stages } = view.body;
  const flops = view.body.flops ?? 0;
  const size = Math.max(...stages.map((stage, at) => longestBar(stage, stages[at + 1])));
  const shared = { language, kept, flops, size };
  const rows: HTMLElement[] = [];
  for (let at = 0; at < stages.length; at++) {
    const stage = stages[at]!;
    const next = stages[at + 1];
    if (stage.layer !== null && next && next.layer === stage.layer) {
      rows.push(blockOf(stage, next, shared));
      at++;
    } else {
      rows.push(rowOf(stage, shared, stage.name === "choice" ? chosenOf(view) : []));
    }
  }
  const total = language === "zh" ? `一次前向计算共 ${flopsText(flops)}。` : `One pass takes ${flopsText(flops)}.`;
  const list = html("div", { class: "path" }, columnNames(language), ...rows);
  const keys = addRowKeys(list, [...list.querySelectorAll<HTMLElement>("[tabindex='-1']")]);
  list.addEventListener("toggle", () => keys.keepReachable(), true); // it does not bubble
  element.append(html("div", { class: "path-top" }, html("p", {}, total), legendOf(language), toggleOf(list, language)), list);
  return UNLINKED;
};

/** A block's row shows both of its parts in one bar. */
function longestBar(stage: PathStage, next: PathStage | undefined): number {
  const together = stage.layer !== null && next?.layer === stage.layer ? (next.size ?? 0) : 0;
  return Math.max((stage.size ?? 0) + together, stage.residual ?? 0);
}

function columnNames(language: Language): HTMLElement {
  const names = [WORDS.shape, WORDS.cost, WORDS.adds].map((word) => html("span", {}, say(word, language)));
  return html("div", { class: "path-row path-names", "aria-hidden": "true" }, html("span", { class: "path-rail" }), html("span", {}), ...names);
}

/** What the bars of the last column are. */
function legendOf(language: Language): HTMLElement {
  const keys = [
    ["attention", STAGES.attention!.title],
    ["added", STAGES["feed-forward"]!.title],
    ["stream", WORDS.stream],
  ] as const;
  const entries = keys.map(([kind, word]) => html("span", {}, html("i", { class: `path-key ${kind}` }), say(word, language)));
  return html("p", { class: "path-legend quiet" }, ...entries);
}

function toggleOf(list: HTMLElement, language: Language): HTMLElement {
  const button = html("button", { class: "button", type: "button" }, say(WORDS.openAll, language));
  button.addEventListener("click", () => {
    const blocks = [...list.querySelectorAll("details")];
    const open = blocks.some((block) => !block.open);
    blocks.forEach((block) => (block.open = open));
    fill(button, say(open ? WORDS.closeAll : WORDS.openAll, language));
  });
  return button;
}

function rowOf(stage: PathStage, shared: Shared, more: (Node | string)[] = []): HTMLElement {
  const { language } = shared;
  const about = STAGES[stage.name] ?? { title: { en: stage.name, zh: stage.name }, does: { en: "", zh: "" } };
  const title = html("strong", {}, say(about.title, language));
  const does = html("span", { class: "quiet" }, say(about.does, language), ...more);
  return html(
    "div",
    { class: "path-row" },
    html("span", { class: "path-rail" }),
    html("div", { class: "path-name" }, title, does, linksOf(stage.views, language)),
    shapeOf(stage, language),
    costOf(stage.flops ?? 0, stage.parameters, shared),
    addedOf([stage], stage.residual, shared),
  );
}

/** A block in one row; its two parts are inside. */
function blockOf(attention: PathStage, feedForward: PathStage, shared: Shared): HTMLElement {
  const { language } = shared;
  const name = language === "zh" ? `第 ${attention.layer} 块` : `Block ${attention.layer}`;
  const summary = html(
    "summary",
    { class: "path-row" },
    html("span", { class: "path-rail" }),
    html("div", { class: "path-name" }, html("strong", {}, name)),
    shapeOf(feedForward, language),
    costOf((attention.flops ?? 0) + (feedForward.flops ?? 0), attention.parameters + feedForward.parameters, shared),
    addedOf([attention, feedForward], feedForward.residual, shared),
  );
  const open = shared.kept.read(`block ${attention.layer}`, false);
  const block = html("details", { class: "path-block", open }, summary, rowOf(attention, shared), rowOf(feedForward, shared));
  block.addEventListener("toggle", () => shared.kept.write(`block ${attention.layer}`, block.open));
  return block;
}

function shapeOf(stage: PathStage, language: Language): HTMLElement {
  const shape = stage.shape.join(" × ");
  const of = stage.dtype === "text" ? say(WORDS.characters, language) : stage.dtype === "int64" ? (language === "en" && shape !== "1" ? " ids" : " id") : ` ${stage.dtype}`;
  const box = html("span", { class: "path-shape", tabindex: -1 });
  box.append(html("span", { class: "number" }, shape || "1"), html("span", { class: "quiet" }, `${of}, ${bytesText(stage.bytes)}`));
  hint(box, () => shapeHint(stage, language));
  return box;
}

function shapeHint({ name, shape, bytes }: PathStage, language: Language): string {
  const size = `${bytes.toLocaleString("en-US")} ${language === "zh" ? "字节" : "bytes"}`;
  if (shape.length === 2) {
    const [tokens, width] = shape;
    return language === "zh" ? `${tokens} 个 token，每个一个 ${width} 维的向量：${size}` : `${tokens} tokens, each a vector of ${width} numbers: ${size}`;
  }
  if (name === "logits") {
    return language === "zh" ? `词表里每个 token 一个数：${size}` : `One number for each token of the vocabulary: ${size}`;
  }
  return size;
}

function costOf(flops: number, parameters: number, shared: Shared): HTMLElement {
  if (flops === 0) {
    return html("span", { class: "path-cost" });
  }
  const box = html("span", { class: "path-cost", tabindex: -1 }, barOf([{ share: flops / shared.flops, kind: "cost" }]), html("span", { class: "number" }, flopsText(flops)));
  hint(box, () => {
    const share = percent(flops / shared.flops);
    const used = `${parameters.toLocaleString("en-US")} ${say(WORDS.weights, shared.language)}`;
    return shared.language === "zh"
      ? `${share} 的计算量，用到 ${used}。一次乘法和一次加法算 2 次运算。`
      : `${share} of all computation, with ${used}. A multiplication and an addition are two operations.`;
  });
  return box;
}

/** The mean length of what the parts add, and of the residual stream after them. */
function addedOf(parts: PathStage[], residual: number | null, shared: Shared): HTMLElement {
  const sizes = parts.flatMap(({ name, size }) => (size === null ? [] : [{ name, size }]));
  if (sizes.length === 0) {
    return html("span", { class: "path-adds" });
  }
  const bars = sizes.map(({ name, size }) => ({ share: size / shared.size, kind: name === "attention" ? "attention" : "added" }));
  const text = sizes.map(({ size }) => number(size)).join(" + ");
  const box = html("span", { class: "path-adds", tabindex: -1 }, barOf(bars, residual === null ? null : residual / shared.size), html("span", { class: "number" }, text));
  hint(box, () => {
    const stream = residual === null ? "" : number(residual);
    const each = sizes.map(({ name, size }) => `${say(STAGES[name]!.title, shared.language)}: ${number(size)}`).join("\n");
    const after = shared.language === "zh" ? `之后残差流的长度：${stream}（竖线）` : `Length of the residual stream after it: ${stream} (the mark)`;
    const what = shared.language === "zh" ? "向量的平均长度" : "Mean length of the vectors";
    return `${what}\n${each}${stream ? `\n${after}` : ""}`;
  });
  return box;
}

function barOf(parts: { share: number; kind: string }[], mark: number | null = null): HTMLElement {
  const bar = html("span", { class: "path-bar" });
  for (const { share, kind } of parts) {
    const part = html("span", { class: `path-part ${kind}` });
    part.style.width = `${100 * share}%`;
    bar.append(part);
  }
  if (mark !== null) {
    const line = html("span", { class: "path-mark" });
    line.style.left = `${100 * mark}%`;
    bar.append(line);
  }
  return bar;
}

function chosenOf({ body }: PathView): (Node | string)[] {
  const token = html("span", { class: "token path-chosen" }, tokenName(body.chosen));
  return [" ", token, ` ${percent(body.probability ?? 0)}`];
}

/** Links to those views that are on the same page. */
function linksOf(views: string[], language: Language): HTMLElement {
  const links = html("span", { class: "path-links" });
  for (const view of views.filter((name) => document.getElementById(name))) {
    const title = document.getElementById(`title-${view}`)?.textContent ?? view;
    links.append(html("a", { href: `#${view}` }, title));
  }
  if (links.childElementCount > 0) {
    links.prepend(`${say(WORDS.see, language)} `);
  }
  return links;
}

function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${number(bytes / 1000 ** power)} ${units[power]}`;
}

function flopsText(flops: number): string {
  const units = ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, flops)) / 3));
  return `${number(flops / 1000 ** power)} ${units[power]}`;
}
