/** How different two models are along an answer: the KL divergence before each of its tokens. */

import { html } from "./dom";
import type { Kept, Language } from "./draw";
import { hint } from "./hint";
import { largest } from "./cells";
import { rowNames } from "./names";
import { noteOf, section } from "./parts";
import { makeSwitch } from "./switch";
import { number, percent, say } from "./text";
import type { CompareAnswer, CompareScore } from "./types";

/** Whether another model than the first has distributions over the same ids along an answer. */
export function hasAlong(answers: readonly CompareAnswer[]): boolean {
  return answers.some((answer) => answer.scores.slice(1).some((score) => score.kl?.length));
}

export function drawAlong(
  element: HTMLElement,
  answers: readonly CompareAnswer[],
  names: readonly string[],
  { language, kept, key }: { language: Language; kept: Kept; key: string },
): void {
  const part = section(
    element,
    say({ en: `How far from ${names[0]}, along an answer`, zh: `沿着回答，与 ${names[0]} 相差多少` }, language),
    noteOf(
      say(
        {
          en: "The KL divergence of the two distributions before each token, in nats: 0 means that both models expect the same.",
          zh: "每个 token 之前两个分布的 KL 散度，单位 nat：0 表示两个模型的预期相同。",
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
    drawAnswer(place, answers[a]!, names, language);
  };
  const start = kept.read(key, 0);
  const label = say({ en: "Which answer", zh: "哪个回答" }, language);
  const choices = names.map((name, a) => {
    return { value: String(a), text: say({ en: `answer of ${name}`, zh: `${name} 的回答` }, language) };
  });
  part.append(makeSwitch(label, choices, String(start), (value) => show(Number(value))), place);
  show(start);
}

function drawAnswer(element: HTMLElement, answer: CompareAnswer, names: readonly string[], language: Language): void {
  const first = answer.scores[0]!;
  const others = answer.scores.map((score, m) => ({ score, name: names[m]! })).slice(1);
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
        `Probability of this token: ${own} under ${firstName}, ${other} under ${name}.`,
      zh: `“${token}”之前：KL ${number(kl)} nat。这个 token 的概率：${firstName} 是 ${own}，${name} 是 ${other}。`,
    },
    language,
  );
}
