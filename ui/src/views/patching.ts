/** Where the difference between two texts is carried: a state of the first text, put into the reading of the other. */

import "./patching.css";
import { drawCells } from "../cells";
import { LOGITS } from "../contrast";
import { html } from "../dom";
import type { Bilingual, Draw, Language, Options } from "../draw";
import { wordsInWords } from "../next-word";
import { unpack, type NumberArray } from "../packed";
import { drawReadout, explained, section, sentence, tokenMark } from "../parts";
import { drawStrip } from "../strip";
import { fixed, passageTokenName, say, signed } from "../text";
import type { Passage, PatchingView } from "../types";

const SMALL: Bilingual = {
  en: "The two differences are nearly the same here, so the shares can be very large and say little.",
  zh: "这里两段文本的差值几乎相同，所以这些比例可能很大，说明不了什么。",
};

export const drawPatching: Draw<PatchingView> = (element, view, options) => {
  const { language, kept } = options;
  const { body } = view;
  const restored = unpack(body.restored);
  const different = differences(view.input, body.other);
  let selected = options.selected;
  const linked = { ...options, onSelect: select };
  const strips = [
    drawText(element, view, view.input, different, linked, true),
    drawText(element, view, body.other, different, linked, false),
  ];
  if (body.contrast.words.length > 0) {
    element.append(html("p", { class: "note" }, wordsInWords(body.contrast.words, language)));
  }
  const part = section(
    element,
    say({ en: "Which state brings the first prediction back?", zh: "哪个状态能把第一段的预测带回来？" }, language),
    say(
      {
        en:
          "The model reads the second text, but one state, at one token after one layer, is taken from the first. The area " +
          "of the square is the share of the difference that this restores; hollow: it moves the other way.",
        zh: "模型读第二段文本，但某个 token 在某一层之后的状态换成第一段的。方块的面积是由此恢复的比例；空心：朝相反方向变化。",
      },
      language,
    ),
  );
  if (body.small) {
    part.append(html("p", { class: "note" }, say(SMALL, language)));
  }
  const cells = drawCells(part, {
    label: say({ en: "Restored shares, by token and layer", zh: "按 token 和层列出的恢复比例" }, language),
    rowKind: "token",
    columnKind: say({ en: "after layer", zh: "层" }, language),
    rows: view.input.tokens.map((_, t) => rowName(view, t, different)),
    columns: body.rows.map((name) => (name === "embedding" ? say({ en: "emb.", zh: "嵌入" }, language) : name)),
    share: (token, layer) => restored.at(layer, token),
    name: (token, layer) => inWords(view, restored, layer, token, language),
    onChoose(token, layer) {
      kept.write("state", [token, layer]);
      readOut(inWords(view, restored, layer, token, language));
      if (started) {
        select(token);
      }
    },
  });
  const readOut = drawReadout(part, "");
  let started = false;
  cells.choose(...kept.read("state", strongestCarried(restored, different)));
  started = true;

  function select(token: number | null): void {
    follow(token);
    options.onSelect(token);
  }

  function follow(token: number | null): void {
    selected = token;
    strips.forEach((strip) => strip.select(token));
    cells.markRow(token);
  }

  cells.markRow(selected);
  return { select: follow };
};

/** The places at which two texts with the same number of tokens have different ones. */
export function differences(one: Passage, other: Passage): Set<number> {
  return new Set(one.ids.flatMap((id, at) => (id === other.ids[at] ? [] : [at])));
}

/** The token and the state that restore most, after the embedding if there are layers: there, the answer is trivial. */
export function strongestCarried(restored: NumberArray, different: Set<number>): [number, number] {
  const [rows = 0, tokens = 0] = restored.shape;
  let best: [number, number] = [[...different][0] ?? 0, 0];
  let most = -Infinity;
  for (let row = Math.min(1, rows - 1); row < rows; row++) {
    for (let token = 0; token < tokens; token++) {
      if (restored.at(row, token) > most) {
        most = restored.at(row, token);
        best = [token, row];
      }
    }
  }
  return best;
}

function drawText(
  element: HTMLElement,
  view: PatchingView,
  passage: Passage,
  different: Set<number>,
  options: Options,
  first: boolean,
): ReturnType<typeof drawStrip> {
  const { language } = options;
  const { contrast, other_value } = view.body;
  const text = say(
    first ? { en: "The first text", zh: "第一段文本" } : { en: "The second text", zh: "第二段文本" },
    language,
  );
  const token = tokenMark(first ? contrast.target : contrast.other);
  token.classList.toggle("other", !first);
  const value = first ? contrast.value : other_value;
  const after = say({ en: "→ {token}, difference of the logits {value}", zh: "→ {token}，logit 之差 {value}" }, language);
  const mark = say({ en: "differs", zh: "不同" }, language);
  const box = html("div", { class: "patching-text" }, html("h3", {}, text));
  const strip = drawStrip(box, passage.tokens, options, text, (index) => (different.has(index) ? { label: mark } : {}));
  box.append(html("p", {}, ...sentence(after, { token, value: explained(signed(value), say(LOGITS, language)) })));
  element.append(box);
  return strip;
}

function rowName(view: PatchingView, token: number, different: Set<number>): HTMLElement {
  const own = passageTokenName(view.input.tokens[token]!);
  if (!different.has(token)) {
    return html("span", { class: "token" }, own);
  }
  return html("strong", { class: "token" }, `${passageTokenName(view.body.other.tokens[token]!)} → ${own}`);
}

function inWords(view: PatchingView, restored: NumberArray, row: number, token: number, language: Language): string {
  const name = passageTokenName(view.input.tokens[token]!);
  const state = view.body.rows[row]!;
  const share = `${fixed(100 * restored.at(row, token), 1)}%`;
  const place =
    state === "embedding"
      ? { en: `The embedding of “${name}”`, zh: `“${name}”的嵌入` }
      : { en: `The state of “${name}” after layer ${state}`, zh: `“${name}”在第 ${state} 层之后的状态` };
  return say(
    {
      en: `${place.en} restores ${share} of the difference between the two texts (100%: the first prediction is back).`,
      zh: `${place.zh}恢复了两段文本之差的 ${share}（100% 表示第一段的预测完全回来了）。`,
    },
    language,
  );
}
