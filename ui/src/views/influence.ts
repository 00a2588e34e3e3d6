/** Which tokens of the text make the model prefer one next token to another: three methods, and a test of each. */

import "./influence.css";
import { largest } from "../cells";
import { drawQuestion, LOGITS } from "../contrast";
import { drawChart, type Curve } from "../chart";
import { fill, html } from "../dom";
import type { Bilingual, Draw, Drawing, Language, Options } from "../draw";
import { unpack, type NumberArray } from "../packed";
import { bar, columns, explained, rowsHead, section, sentence, signedBar } from "../parts";
import { extent, roundScale } from "../scale";
import { drawStrip } from "../strip";
import { makeSwitch } from "../switch";
import { joinSentences, passageTokenName, say, signed } from "../text";
import type { InfluenceView } from "../types";

const METHODS: Record<string, Bilingual> = {
  "gradient × input": { en: "gradient × input", zh: "梯度 × 输入" },
  "integrated gradients": { en: "integrated gradients", zh: "积分梯度" },
  occlusion: { en: "occlusion", zh: "遮挡" },
};
const ABOUT: Record<string, Bilingual> = {
  "gradient × input": {
    en: "A straight-line estimate of what each token contributes. It needs one backward pass.",
    zh: "用直线估计每个 token 的贡献，只需一次反向传播。",
  },
  "integrated gradients": {
    en: "The gradient is summed on the way from neutral vectors to the text's own. The scores add up to the whole change.",
    zh: "从中性向量一路走到文本自己的向量，把梯度累加起来。各分数之和等于全部变化。",
  },
  occlusion: {
    en: "One token at a time is replaced by a neutral vector; the score is what is lost.",
    zh: "每次把一个 token 换成中性向量，分数就是因此失去的量。",
  },
};
const FIRST: Bilingual = {
  en:
    "The first token has no score. Attention heads that have nothing to read rest on it, so it always keeps its vector: " +
    "without it, the states change abruptly.",
  zh: "第一个 token 没有分数：没有东西可读的注意力头都停在它上面，换掉它，状态会突变，所以它始终保留自己的向量。",
};
const COMMAS: Bilingual = {
  en: "A comma has no score either: it is the neutral token itself.",
  zh: "逗号也没有分数：它本身就是中性的 token。",
};
const DASHES = ["none", "7 4", "2 3"];

interface State {
  view: InfluenceView;
  options: Options;
  scores: NumberArray;
  method: number;
}

export const drawInfluence: Draw<InfluenceView> = (element, view, options) => {
  const { language, kept } = options;
  const start = kept.read("method", Math.max(0, view.body.methods.indexOf("integrated gradients")));
  const state: State = { view, options, scores: unpack(view.body.scores), method: start };
  drawQuestion(element, view.body.contrast, language);
  element.append(html("p", { class: "part-text" }, ...valueSentence(view, language)));
  const about = html("p", { class: "note" });
  const place = html("div", {});
  const test = drawDeletionTest(view, language);
  let parts: Drawing[] = [];
  let selected = options.selected;

  function show(method: number): void {
    state.method = method;
    kept.write("method", method);
    fill(about, say(ABOUT[view.body.methods[method]!] ?? { en: "", zh: "" }, language));
    place.replaceChildren();
    parts = drawScores(place, state, { ...options, selected, onSelect: select });
    test.show(method);
  }

  function select(index: number | null): void {
    follow(index);
    options.onSelect(index);
  }

  function follow(index: number | null): void {
    selected = index;
    parts.forEach((part) => part.select(index));
  }

  const choices = view.body.methods.map((name, value) => ({ value: String(value), text: methodName(name, language) }));
  const label = say({ en: "Method", zh: "方法" }, language);
  const methods = makeSwitch(label, choices, String(start), (value) => show(Number(value)));
  const left = html("div", {}, html("div", { class: "influence-methods" }, methods), about, place);
  const commas = view.input.tokens.slice(1).some(({ index }) => !Number.isFinite(state.scores.at(0, index)));
  left.append(html("p", { class: "note" }, joinSentences([say(FIRST, language), commas ? say(COMMAS, language) : ""], language)));
  columns(element, left, test.element);
  show(start);
  return { select: follow };
};

function methodName(name: string, language: Language): string {
  return METHODS[name] ? say(METHODS[name], language) : name;
}

function valueSentence(view: InfluenceView, language: Language): (Node | string)[] {
  const { contrast, neutral } = view.body;
  const text = say(
    {
      en:
        "The difference of their logits is {whole} after the text, and {neutral} if every token but the first is replaced by " +
        "the neutral vector of a comma. The scores say where the change comes from. A positive score speaks for the first of the " +
        "two, relative to the other.",
      zh:
        "读完文本，两者的 logit 之差是 {whole}；除第一个 token 外都换成逗号的中性向量，则是 {neutral}。分数说明这个变化来自哪里。" +
        "正的分数支持前一个 token，是相对于后一个来说的。",
    },
    language,
  );
  const meaning = say(LOGITS, language);
  return sentence(text, { whole: explained(signed(contrast.value), meaning), neutral: explained(signed(neutral), meaning) });
}

/** The text coloured by the scores of one method, and a bar for each token. */
function drawScores(element: HTMLElement, state: State, options: Options): Drawing[] {
  const { scores, method, view } = state;
  const { language } = options;
  const score = (index: number) => scores.at(method, index);
  const most = largest(view.input.tokens.map(({ index }) => score(index))) || 1;
  const label = say({ en: "The text, coloured by score", zh: "按分数着色的文本" }, language);
  const none = say({ en: "no score", zh: "无分数" }, language);
  const strip = drawStrip(element, view.input.tokens, options, label, (index) => {
    const value = score(index);
    return Number.isFinite(value) ? { share: value / most, label: signed(value) } : { label: none };
  });
  const toward = say({ en: "→ in favour", zh: "→ 支持" }, language);
  const against = say({ en: "against ←", zh: "反对 ←" }, language);
  const rows = html(
    "div",
    { class: "rows influence-rows" },
    rowsHead("", `${against} | ${toward}`, "logits"),
  );
  const buttons = view.input.tokens.map((token) => {
    const value = score(token.index);
    const row = html(
      "button",
      { class: "row", type: "button", "aria-pressed": "false" },
      html("span", { class: "token" }, passageTokenName(token)),
      Number.isFinite(value) ? signedBar(value / most) : html("span", { class: "note-inline" }, none),
      html("span", { class: "number" }, signed(value)),
    );
    row.title = allScores(state, token.index, language);
    row.addEventListener("click", () => options.onSelect(token.index));
    rows.append(row);
    return row;
  });
  element.append(rows);
  const select = (index: number | null) =>
    buttons.forEach((row, at) => row.setAttribute("aria-pressed", String(view.input.tokens[at]!.index === index)));
  select(options.selected);
  return [strip, { select }];
}

/** The scores of a token by all methods, in words. */
function allScores({ view, scores }: State, index: number, language: Language): string {
  return view.body.methods.map((name, m) => `${methodName(name, language)}: ${signed(scores.at(m, index))}`).join("\n");
}

interface DeletionTest {
  element: HTMLElement;
  show(method: number): void;
}

function drawDeletionTest(view: InfluenceView, language: Language): DeletionTest {
  const { body } = view;
  const element = html("div", {});
  const part = section(
    element,
    say({ en: "Do the scores find the tokens that matter?", zh: "分数找到了真正重要的 token 吗？" }, language),
    say(
      {
        en:
          "The tokens are replaced one after the other, first those whose scores say that they push the difference of the " +
          "logits away from its neutral value most. The better a method, the sooner the difference reaches that value.",
        zh:
          "逐个换掉 token：按分数，哪个 token 把 logit 之差从中性值推得最远，就先换掉哪个。方法越好，差值越早回到中性值。",
      },
      language,
    ),
  );
  const values = unpack(body.curves);
  const curves = (main: number): Curve[] =>
    body.methods.map((name, m) => ({
      name: methodName(name, language),
      points: body.deleted.map((count, n) => [count, values.at(m, n)] as const),
      dashes: DASHES[m],
      main: m === main,
    }));
  const last = body.deleted[body.deleted.length - 1]!;
  const chart = drawChart(part, {
    label: say({ en: "The difference of the logits while tokens are replaced", zh: "逐个换掉 token 时的 logit 之差" }, language),
    curves: curves(0),
    x: { ...roundScale(0, last, Math.min(8, last)), name: say({ en: "tokens replaced", zh: "已换掉的 token 数" }, language) },
    y: { ...roundScale(...extent([...values.values]), 5), name: say({ en: "difference of the logits", zh: "logit 之差" }, language) },
    describe(count) {
      const n = body.deleted.indexOf(count);
      const found = body.methods.map((name, m) => `${methodName(name, language)} ${signed(values.at(m, n))}`);
      const head = { en: `${count} token${count === 1 ? "" : "s"} replaced`, zh: `换掉 ${count} 个 token` };
      return `${say(head, language)}: ${found.join(" · ")}`;
    },
  });
  const rows = deletionRows(view, language);
  part.append(rows.element);
  if (body.small) {
    const change = Math.abs((body.contrast.value ?? NaN) - (body.neutral ?? NaN));
    part.append(html("p", { class: "note" }, smallChange(change, language)));
  }
  return {
    element,
    show(method) {
      chart.draw(curves(method));
      rows.show(method);
    },
  };
}

function smallChange(change: number, language: Language): string {
  return say(
    {
      en: `The whole change is only ${change.toFixed(2)} logits here, so these shares can be very large and say little.`,
      zh: `这里全部变化只有 ${change.toFixed(2)} 个 logit，所以这些比例可能很大，说明不了什么。`,
    },
    language,
  );
}

/** The mean of each curve as a share of the whole change, next to that of random orders. */
function deletionRows({ body }: InfluenceView, language: Language): { element: HTMLElement; show(method: number): void } {
  const [mean, deviation] = body.random_deletion;
  const head = say({ en: "left on average; lower is better", zh: "平均剩余；越低越好" }, language);
  const rows = html("div", { class: "rows influence-test" }, rowsHead("", head, ""));
  const lines = body.methods.map((name, m) => {
    const share = body.deletion[m] ?? NaN;
    const row = html("div", { class: "row" }, html("span", {}, methodName(name, language)), bar(share), percentNumber(share));
    rows.append(row);
    return row;
  });
  const random = bar(mean ?? 0);
  random.classList.add("influence-random");
  random.style.setProperty("--low", String(clamp((mean ?? 0) - (deviation ?? 0))));
  random.style.setProperty("--high", String(clamp((mean ?? 0) + (deviation ?? 0))));
  const name = say({ en: "20 random orders", zh: "20 个随机顺序" }, language);
  const value = html("span", { class: "number" }, `${whole(mean)} ± ${whole(deviation)}`);
  rows.append(html("div", { class: "row" }, html("span", {}, name), random, value));
  return { element: rows, show: (method) => lines.forEach((line, m) => line.classList.toggle("chosen", m === method)) };
}

function percentNumber(share: number): HTMLElement {
  return html("span", { class: "number" }, whole(share));
}

function whole(share: number | null): string {
  return share === null || !Number.isFinite(share) ? "–" : `${(100 * share).toFixed(0).replace("-", "−")}%`;
}

function clamp(share: number): number {
  return Math.max(0, Math.min(1, share));
}
