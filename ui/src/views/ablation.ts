/** What the model loses without a part: each head, each layer's attention, and each feed-forward network. */

import "./ablation.css";
import { drawCells, largest } from "../cells";
import { drawQuestion } from "../contrast";
import { html } from "../dom";
import { UNLINKED, type Draw, type Kept, type Language } from "../draw";
import { unpack, type NumberArray } from "../packed";
import { columns, drawReadout, section, signedBar } from "../parts";
import { say, signed, tokenName } from "../text";
import type { AblatedPart, AblationView } from "../types";

const NOTHING = 0.005; // logits: a change that two decimals do not show

export const drawAblation: Draw<AblationView> = (element, view, { language, kept }) => {
  const heads = unpack(view.body.heads);
  const attention = unpack(view.body.attention);
  const feedForward = unpack(view.body.feed_forward);
  drawQuestion(element, view.body.contrast, language);
  const note = {
    en:
      "Each part in turn is replaced by its mean output on other sentences. A hollow square or a bar to the left means: " +
      "without the part, the model prefers the first token less, so the part speaks for it. A filled square or a bar to " +
      "the right: the part speaks against it.",
    zh:
      "逐个把部件的输出换成它在别的句子上的平均值。空心方块、向左的条：去掉它，模型就不那么偏向第一个 token，说明它支持这个 token；" +
      "实心方块、向右的条：它反对这个 token。",
  };
  element.append(html("p", { class: "note" }, say(note, language)));
  const parts = columns(element);
  drawHeads(parts, view, heads, kept, language);
  drawLayers(parts, attention, feedForward, language);
  drawStrongest(element, view.body.strongest, language);
  return UNLINKED;
};

function drawHeads(element: HTMLElement, view: AblationView, heads: NumberArray, kept: Kept, language: Language): void {
  const [layers = 0, count = 0] = heads.shape;
  const most = largest(heads.values) || 1;
  const part = section(element, say({ en: "Without one head", zh: "去掉一个头" }, language));
  const cells = drawCells(part, {
    label: say({ en: "The change without each head", zh: "去掉每个头之后的变化" }, language),
    rowKind: say({ en: "layer", zh: "层" }, language),
    columnKind: say({ en: "head", zh: "头" }, language),
    rows: numbers(layers),
    columns: numbers(count),
    share: (layer, head) => heads.at(layer, head) / most,
    name: (layer, head) => `${partName({ layer, kind: "head", head }, language)}: ${signed(heads.at(layer, head))}`,
    onChoose(layer, head) {
      kept.write("head", [layer, head]);
      readOut(headInWords(view, layer, head, heads.at(layer, head), language));
    },
  });
  const readOut = drawReadout(part, "");
  const first = view.body.strongest.find(({ kind }) => kind === "head");
  cells.choose(...kept.read<[number, number]>("head", [first?.layer ?? 0, first?.head ?? 0]));
}

function drawLayers(element: HTMLElement, attention: NumberArray, feedForward: NumberArray, language: Language): void {
  const most = largest([...attention.values, ...feedForward.values]) || 1;
  const part = section(element, say({ en: "Without a whole part of a layer", zh: "去掉一层的整个部件" }, language));
  const names = [{ en: "attention", zh: "注意力" }, { en: "feed-forward", zh: "前馈" }].map((name) => say(name, language));
  const corner = html("th", { scope: "col" }, say({ en: "layer", zh: "层" }, language));
  const heads = names.map((name) => html("th", { scope: "col", colspan: 2 }, name));
  const table = html("table", { class: "ablation-layers" }, html("thead", {}, html("tr", {}, corner, ...heads)));
  const body = html("tbody", {});
  for (let layer = 0; layer < attention.shape[0]!; layer++) {
    const cells = [attention, feedForward].flatMap((values) => [
      html("td", {}, signedBar(values.at(layer) / most)),
      html("td", { class: "number" }, signed(values.at(layer))),
    ]);
    body.append(html("tr", {}, html("th", { scope: "row" }, String(layer)), ...cells));
  }
  table.append(body);
  part.append(table);
}

function drawStrongest(element: HTMLElement, parts: AblatedPart[], language: Language): void {
  const part = section(element, say({ en: "The parts with the largest changes", zh: "变化最大的部件" }, language));
  const rows = html("ol", { class: "rows ablation-list" });
  for (const each of parts) {
    const share = (each.change ?? 0) / Math.abs(parts[0]!.change || 1);
    const change = html("span", { class: "number" }, signed(each.change));
    rows.append(html("li", { class: "row" }, html("span", {}, partName(each, language)), signedBar(share), change));
  }
  part.append(rows);
}

function partName({ layer, kind, head }: Pick<AblatedPart, "layer" | "kind" | "head">, language: Language): string {
  const names = {
    head: { en: `layer ${layer}, head ${head}`, zh: `第 ${layer} 层，第 ${head} 头` },
    attention: { en: `layer ${layer}, all heads`, zh: `第 ${layer} 层，所有头` },
    feed_forward: { en: `layer ${layer}, feed-forward`, zh: `第 ${layer} 层，前馈网络` },
  };
  return say(names[kind], language);
}

/** What changes without a head. A change that is shown as 0 speaks for neither token. */
export function headInWords({ body }: AblationView, layer: number, head: number, change: number, language: Language): string {
  const { target, other, value } = body.contrast;
  const name = partName({ layer, kind: "head", head }, language);
  if (Math.abs(change) < NOTHING) {
    return say(
      { en: `Without ${name}, the difference of the logits stays ${signed(value)}.`, zh: `去掉${name}，logit 之差仍是 ${signed(value)}。` },
      language,
    );
  }
  const [from, to] = [signed(value), signed((value ?? NaN) + change)];
  const winner = tokenName(change < 0 ? target : other);
  return say(
    {
      en:
        `Without ${name}, the difference of the logits changes from ${from} to ${to} ` +
        `(${signed(change)}): this head speaks for “${winner}”.`,
      zh: `去掉${name}，logit 之差从 ${from} 变为 ${to}（${signed(change)}）：这个头支持“${winner}”。`,
    },
    language,
  );
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i));
}
