/** How different two models, or one model after two prompts, are along an answer: the KL divergence before each token. */

import { html } from "./dom";
import type { Kept, Language } from "./draw";
import { hint } from "./hint";
import { largest } from "./cells";
import { rowNames } from "./names";
import { noteOf, section } from "./parts";
import { makeSwitch } from "./switch";
import { number, percent, say } from "./text";
import type { CompareScore } from "./types";

/** What is compared: models, or prompts. */
export interface Compared {
  /** Under which the answer that the reader chose is kept. */
  key: string;
  /** Of what is compared. */
  names: readonly string[];
  /** Of the answers. */
  answers: readonly string[];
  /** Of each answer, under each model or after each prompt. */
  scores: readonly (readonly CompareScore[])[];
}

/** Whether another one than the first has distributions over the same ids along an answer. */
export function hasAlong({ scores }: Compared): boolean {
  return scores.some((row) => row.slice(1).some((score) => score.kl?.length));
}

export function drawAlong(element: HTMLElement, { key, names, answers, scores }: Compared, kept: Kept, language: Language): void {
  const part = section(
    element,
    say({ en: `How far from ${names[0]}, along an answer`, zh: `沿着回答，与 ${names[0]} 相差多少` }, language),
    noteOf(
      say(
        {
          en: "The KL divergence of the two distributions before each token, in nats: 0 means that both expect the same.",
          zh: "每个 token 之前两个分布的 KL 散度，单位 nat：0 表示两者的预期相同。",
        },
        language,
      ),
      language,
    ),
  );
  const place = html("div", {});
  const show = (a: number) => {
    kept.write(key, a);
    place.replaceChildren();
    drawAnswer(place, scores[a]!, names, language);
  };
  const start = kept.read(key, 0);
  const label = say({ en: "Which answer", zh: "哪个回答" }, language);
  const choices = answers.map((name, a) => ({ value: String(a), text: name }));
  part.append(makeSwitch(label, choices, String(start), (value) => show(Number(value))), place);
  show(start);
}

function drawAnswer(
  element: HTMLElement,
  scores: readonly CompareScore[],
  names: readonly string[],
  language: Language,
): void {
  const first = scores[0]!;
  const others = scores.map((score, m) => ({ score, name: names[m]! })).slice(1);
  const most = largest(others.flatMap(({ score }) => score.kl ?? [])) || 1;
  for (const { score, name } of others) {
    element.append(html("h4", { class: "along-name" }, name));
    if (!score.kl) {
      const none = say({ en: "Its token ids are not the same.", zh: "它的 token id 不同。" }, language);
      element.append(html("p", { class: "note" }, none));
      continue;
    }
    const tokens = rowNames(score.tokens);
    const columns = score.kl.map((kl, at) => {
      const stick = html("span", { class: "along-bar", "aria-hidden": "true" }, html("span", {}));
      stick.style.setProperty("--length", String(kl / most));
      const value = html("small", { class: "number" }, kl < 0.005 ? "0" : number(kl, 2));
      const token = html("span", { class: "token" }, tokens[at]!);
      const column = html("button", { class: "along-token", type: "button" }, stick, value, token);
      hint(column, () => inWords(tokens[at]!, kl, first, score, at, names[0]!, name, language));
      return column;
    });
    element.append(html("div", { class: "along" }, ...columns));
  }
}

function inWords(
  token: string,
  kl: number,
  first: CompareScore,
  score: CompareScore,
  at: number,
  firstName: string,
  name: string,
  language: Language,
): string {
  const [own, other] = [first, score].map((each) => percent(Math.exp(each.logprobs?.[at] ?? -Infinity)));
  return say(
    {
      en:
        `Before “${token}”: KL ${number(kl)} nats. ` +
        `Probability of this token: ${own} with ${firstName}, ${other} with ${name}.`,
      zh: `“${token}”之前：KL ${number(kl)} nat。这个 token 的概率：${firstName} 是 ${own}，${name} 是 ${other}。`,
    },
    language,
  );
}
