/** All heads of a model as a grid of layers and heads, for one habit. */

import type { Language } from "../draw";
import { html } from "../dom";
import { addGridKeys } from "../grid-keys";
import { hint } from "../hint";
import { noteOf } from "../parts";
import { number, percent } from "../text";
import { strongestHeads, type AttentionData, type Habit } from "./attention-data";

const STRONGEST = 5;

const WORDS = {
  en: {
    means: {
      first: "The mean weight on the first token, over the tokens that can see it. Heads that have nothing to read rest there.",
      previous: "The mean weight on the token just before.",
      itself: "The mean weight on the token itself.",
      induction:
        "The mean weight on the token that followed the same token before: “after A came B, here is A again, so look at B”. It is measured on 24 different random tokens that are read twice, so it does not depend on this text.",
      entropy: "How widely a head spreads its reads, in nats. 0: it reads one token.",
    },
    strongest: "Strongest",
    widest: "Widest",
    head: (layer: number, head: number) => `layer ${layer}, head ${head}`,
    layers: "layer",
    heads: "head",
    shown: "The heads of the layer with the mark ◂ are shown below; choose one of them here too.",
    grid: "Heads: a row is a layer, a column is a head",
    unit: "nats",
  },
  zh: {
    means: {
      first: "放在首个 token 上的平均权重，只算看得到它的 token。没有东西可读的头会停在那里。",
      previous: "放在前一个 token 上的平均权重。",
      itself: "放在 token 自身上的平均权重。",
      induction:
        "放在“同一个 token 上次出现之后的那个 token”上的平均权重：前面 A 后面是 B，现在又见到 A，就去看 B。用 24 个互不相同的随机 token 读两遍来测，与这段文本无关。",
      entropy: "一个头读得有多分散，单位 nat。0 表示只读一个 token。",
    },
    strongest: "最强的头",
    widest: "最分散的头",
    head: (layer: number, head: number) => `第 ${layer} 层，头 ${head}`,
    layers: "层",
    heads: "头",
    shown: "下面显示的是带 ◂ 的那一层，也可以在这里点选它的头。",
    grid: "各个头：一行是一层，一列是一个头",
    unit: "nat",
  },
} as const;

export function drawHabit(
  element: HTMLElement,
  data: AttentionData,
  habit: Habit,
  language: Language,
  chooseHead: (head: number) => void,
): void {
  const words = WORDS[language];
  const values = data.habits[habit];
  const text = (value: number) => (habit === "entropy" ? `${number(value)} ${words.unit}` : percent(value));
  const largest = habit === "entropy" ? Math.max(...values.values) || 1 : 1;
  const cellOf = (value: number) => ({ share: value / largest || 0, text: text(value) });
  const strongest = strongestHeads(values, STRONGEST).map(({ layer, head, value }) =>
    html("li", {}, words.head(layer, head), html("span", { class: "number" }, text(value))),
  );
  element.className = "attention-overview";
  element.replaceChildren(
    drawGrid(data, language, (layer, head) => cellOf(values.at(layer, head)), chooseHead),
    html(
      "div",
      {},
      noteOf(words.means[habit], language),
      html("div", { class: "attention-ramp" }, html("span", {}, "0"), html("i"), html("span", {}, text(largest))),
      html("h4", {}, habit === "entropy" ? words.widest : words.strongest),
      html("ol", {}, ...strongest),
      html("p", { class: "note" }, words.shown),
    ),
  );
}

function drawGrid(
  data: AttentionData,
  language: Language,
  cellOf: (layer: number, head: number) => { share: number; text: string },
  chooseHead: (head: number) => void,
): HTMLElement {
  const words = WORDS[language];
  const everyHead = Array.from({ length: data.heads }, (_, head) => head);
  const cells: HTMLElement[][] = [];
  for (let layer = 0; layer < data.layers; layer++) {
    cells.push(
      everyHead.map((head) => {
        const { share, text } = cellOf(layer, head);
        const name = `${words.head(layer, head)}: ${text}`;
        const cell = html("td", { role: "gridcell", tabindex: -1, "aria-label": name });
        cell.style.setProperty("--share", `${Math.round(100 * share)}%`);
        hint(cell, () => name);
        if (layer === data.layer) {
          cell.addEventListener("click", () => chooseHead(head));
        }
        return cell;
      }),
    );
  }
  const numbers = everyHead.map((at) => html("th", { scope: "col" }, String(at)));
  const head = html("tr", {}, html("td", {}, `${words.layers} \\ ${words.heads}`), ...numbers);
  const rows = cells.map((line, layer) => {
    const here = layer === data.layer;
    const name = html("th", { scope: "row" }, here ? `◂ ${layer}` : String(layer));
    return html("tr", { class: here ? "here" : undefined }, name, ...line);
  });
  const table = html("table", { role: "grid", "aria-label": words.grid }, html("thead", {}, head), html("tbody", {}, ...rows));
  addGridKeys(table, cells, { row: data.layer, column: 0 });
  return html("div", { class: "attention-grid" }, table);
}
