/** "Why this token and not that one?": what influence, ablation and patching explain. */

import { html } from "./dom";
import type { Language } from "./draw";
import { wordsInWords } from "./next-word";
import { sentence, tokenMark } from "./parts";
import { say } from "./text";
import type { Contrast } from "./types";

export function drawQuestion(element: HTMLElement, contrast: Contrast, language: Language): void {
  const other = tokenMark(contrast.other);
  other.classList.add("other");
  const question = say({ en: "Why {target} and not {other}?", zh: "为什么是 {target}，而不是 {other}？" }, language);
  element.append(html("p", { class: "part-lead" }, ...sentence(question, { target: tokenMark(contrast.target), other })));
  if (contrast.words.length > 0) {
    element.append(html("p", { class: "note" }, wordsInWords(contrast.words, language)));
  }
}

export const LOGITS = {
  en: "The logit of the first token minus that of the second. With +1, the first is e ≈ 2.7 times as likely as the second.",
  zh: "第一个 token 的 logit 减去第二个的。差为 +1 时，第一个的概率是第二个的 e ≈ 2.7 倍。",
};
