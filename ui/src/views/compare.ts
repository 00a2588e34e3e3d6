/** Models on the same prompts, or one model on several: what each read, what it answered, and how likely each answer is. */

import "./compare.css";
import { drawAlong, hasAlong, type Compared } from "../compare-along";
import { html } from "../dom";
import { UNLINKED, type Draw, type Kept, type Language } from "../draw";
import { nameTokens } from "../names";
import { bar, explained, noteOf, section } from "../parts";
import { joinSentences, number, passageTokenName, percent, say, shownText, tokenName } from "../text";
import type { CompareAnswer, CompareModel, CompareScore, CompareTrace } from "../types";

type Asked = CompareTrace["body"]["prompts"][number];

export const drawCompare: Draw<CompareTrace> = (element, trace, { language, kept }) => {
  const { prompts } = trace.body;
  if (trace.models.length === 1) {
    const part = section(element, modelName(trace, 0), describe(trace.models[0]!, language));
    const cards = prompts.map((asked, p) => {
      const title = prompts.length > 1 ? `${promptName(p, language)}: ${promptText(asked)}` : promptText(asked);
      return drawCard(title, 0, asked.answers[0]!, trace, language);
    });
    part.append(html("div", { class: "compare-cards" }, ...cards));
    drawPrompts(part, trace, kept, language);
    return UNLINKED;
  }
  for (const [p, asked] of prompts.entries()) {
    const part = section(element, say({ en: "Prompt: ", zh: "提示：" }, language) + promptText(asked));
    const cards = asked.answers.map((answer, m) => drawCard(modelName(trace, m), m, answer, trace, language));
    part.append(html("div", { class: "compare-cards" }, ...cards));
    drawModels(part, trace, p, kept, language);
  }
  return UNLINKED;
};

/** Every answer to one prompt under every model. */
function drawModels(element: HTMLElement, trace: CompareTrace, p: number, kept: Kept, language: Language): void {
  const asked = trace.body.prompts[p]!;
  const names = trace.models.map((_, m) => modelName(trace, m));
  const answers = names.map((name) => say({ en: `answer of ${name}`, zh: `${name} 的回答` }, language));
  const compared = { key: `answer ${p}`, names, answers, scores: asked.answers.map((answer) => answer.scores) };
  const byByte = compared.scores.some((row) => row.some((score) => score.by === "text"));
  const title = byByte
    ? { en: "How likely each model finds each answer, in nats per byte", zh: "各模型认为每个回答有多可能，nat / 字节" }
    : { en: "How likely each model finds each answer, in nats per token", zh: "各模型认为每个回答有多可能，nat / token" };
  const note = {
    en: "▲ marks the model that finds an answer most likely.",
    zh: "▲ 标出认为这个回答最可能的模型。",
  };
  drawCompared(element, compared, byByte, say(title, language), say(note, language), kept, language);
}

/** Every answer of one model after every prompt. */
function drawPrompts(element: HTMLElement, { body }: CompareTrace, kept: Kept, language: Language): void {
  const scores = body.prompts.flatMap(({ answers }) => answers[0]!.after_prompts ?? []);
  const count = body.prompts.length;
  if (!scores.length) {
    const note = {
      en: "So many prompts are not compared with each other: no answer is scored after another prompt than its own.",
      zh: "提示太多，不互相比较：每个回答只接在自己的提示之后打分。",
    };
    element.append(...(count > 1 ? [html("p", { class: "note" }, say(note, language))] : []));
    return;
  }
  const names = body.prompts.map((_, p) => promptName(p, language));
  const answers = names.map((name) => say({ en: `answer to ${name}`, zh: `对${name}的回答` }, language));
  const compared = { key: "answer", names, answers, scores: names.map((_, a) => scores.slice(a * count, (a + 1) * count)) };
  const title = {
    en: "How likely each answer is after each prompt, in nats per token",
    zh: "每个回答接在各个提示之后有多可能，nat / token",
  };
  const note = {
    en: "Each answer is scored as if it were the answer to that prompt. ▲ marks the prompt after which it is most likely.",
    zh: "打分时把每个回答当作对那个提示的回答。▲ 标出它接在哪个提示之后最可能。",
  };
  drawCompared(element, compared, false, say(title, language), say(note, language), kept, language);
}

/** The table of scores, and the curves along the answers if there are any. */
function drawCompared(
  element: HTMLElement,
  compared: Compared,
  byByte: boolean,
  title: string,
  note: string,
  kept: Kept,
  language: Language,
): void {
  drawScores(element, compared, byByte, title, note, language);
  if (hasAlong(compared)) {
    drawAlong(element, compared, kept, language);
  }
}

function promptName(p: number, language: Language): string {
  return say({ en: `prompt ${p + 1}`, zh: `提示 ${p + 1}` }, language);
}

function promptText({ prompt }: Asked): string {
  const last = prompt.messages[prompt.messages.length - 1];
  return shownText(String(last?.["content"] ?? ""));
}

/** The last part of the path that tells a model from the others. */
function modelName({ models }: CompareTrace, m: number): string {
  const parts = models.map((model) => (model.adapter?.path ?? model.path).split("/").filter(Boolean));
  const own = parts[m]!;
  for (let count = 1; count < own.length; count++) {
    const name = own.slice(-count).join("/");
    if (parts.every((other, i) => i === m || other.slice(-count).join("/") !== name)) {
      return shownText(name);
    }
  }
  return shownText(own.join("/"));
}

function drawCard(title: string, m: number, answer: CompareAnswer, trace: CompareTrace, language: Language): HTMLElement {
  const card = html("article", { class: "compare-card" }, html("h4", {}, title));
  if (trace.models.length > 1) {
    card.append(html("p", { class: "note" }, describe(trace.models[m]!, language)));
  }
  card.append(
    html("h5", {}, say({ en: "What it read", zh: "它读到的" }, language)),
    drawRead(answer, language),
    html("h5", {}, say({ en: "Answer", zh: "回答" }, language)),
    html("blockquote", {}, shownText(answer.text), html("small", {}, ending(answer, trace, language))),
    html("h5", {}, say({ en: "Most likely first tokens", zh: "第一个 token 的候选" }, language)),
    drawCandidates(answer, language),
    drawNumbers(m, answer, trace, language),
  );
  return card;
}

function describe(model: CompareModel, language: Language): string {
  const reads =
    model.reads === "text"
      ? { en: "reads the prompt as plain text", zh: "按普通文本读提示" }
      : {
          en: `reads the prompt through its chat template (${model.template ?? "?"})`,
          zh: `按对话模板读提示（${templateInChinese(model.template ?? "?")}）`,
        };
  const stage = model.stage ? `${model.stage} · ` : "";
  return `${stage}${say(reads, language)} · ${model.tokenizer.kind}, ${model.vocab_size.toLocaleString("en-US")}`;
}

/** Where a chat template is from: the model's folder or file, or the name of a built-in one. */
function templateInChinese(origin: string): string {
  return origin.endsWith("'s own template") ? "模型自带的模板" : origin;
}

function ending(answer: CompareAnswer, trace: CompareTrace, language: Language): string {
  return answer.finish_reason === "stop"
    ? say({ en: "■ ended by the model", zh: "■ 模型自己结束" }, language)
    : say({ en: `… cut after ${trace.max_tokens} tokens`, zh: `… 到 ${trace.max_tokens} 个 token 为止` }, language);
}

/** The tokens that a model read; special ones are dashed. */
function drawRead(answer: CompareAnswer, language: Language): HTMLElement {
  const special = say({ en: "special token", zh: "特殊 token" }, language);
  const tokens = nameTokens(answer.input.tokens).map((token, at) => {
    const title = `${token.special ? `${special} · ` : ""}id ${answer.input.ids[at]}`;
    const kind = token.special ? "compare-token token special" : "compare-token token";
    return html("span", { class: kind, title }, passageTokenName(token));
  });
  return html("p", { class: "compare-read" }, ...tokens);
}

function drawCandidates(answer: CompareAnswer, language: Language): HTMLElement {
  const rows = html("div", { class: "rows" });
  for (const { token, logprob } of answer.candidates) {
    const share = Math.exp(logprob ?? -Infinity);
    const chosen = token.id === answer.ids[0];
    const name = html("span", { class: "token" }, tokenName(token), chosen ? " ✓" : "");
    if (chosen) {
      name.title = say({ en: "the token that was chosen", zh: "被选中的 token" }, language);
    }
    rows.append(html("div", { class: "row" }, name, bar(share), html("span", { class: "number" }, percent(share))));
  }
  return rows;
}

function drawNumbers(m: number, answer: CompareAnswer, trace: CompareTrace, language: Language): HTMLElement {
  const entropy = say(
    {
      en: "How undecided the model is before its first token: 0 is certain, ln 2 ≈ 0.69 is one of two.",
      zh: "生成第一个 token 之前有多不确定：0 是完全确定，ln 2 ≈ 0.69 相当于二选一。",
    },
    language,
  );
  const list = html("dl", { class: "compare-numbers" });
  const add = (name: string, value: HTMLElement) => list.append(html("div", {}, html("dt", {}, name), html("dd", {}, value)));
  add(say({ en: "entropy", zh: "熵" }, language), explained(`${number(answer.entropy)} nat`, entropy));
  if (m > 0) {
    const kl = say(
      {
        en: "KL divergence from the first model before the first token: how different the two distributions are.",
        zh: "第一个 token 之前，与第一个模型的 KL 散度：两个分布相差多少。",
      },
      language,
    );
    const none = say(
      { en: "The token ids are not the same, so the distributions cannot be compared.", zh: "token id 不同，分布无法比较。" },
      language,
    );
    add("KL", answer.kl === null ? explained("–", none) : explained(`${number(answer.kl)} nat`, kl));
  }
  if (trace.models.length === 1) {
    const score = answer.scores[0]!;
    const name = say({ en: "log-probability of the answer", zh: "回答的对数概率" }, language);
    add(name, explained(`${number(score.nats ?? NaN)} nat`, scoreInWords(score, language)));
  }
  return list;
}

/** A table of every answer under every model, or after every prompt. */
function drawScores(
  element: HTMLElement,
  { names, answers, scores }: Compared,
  byByte: boolean,
  title: string,
  note: string,
  language: Language,
): void {
  const head = html("tr", {}, html("td", {}), ...names.map((name) => html("th", { scope: "col" }, name)));
  const lines = scores.map((row, a) => {
    const values = row.map((score) => (byByte ? score.per_byte : score.per_token));
    const best = Math.max(...values.map((value) => value ?? -Infinity));
    const cells = row.map((score, m) => {
      const value = values[m] ?? NaN;
      const button = explained(number(value), scoreInWords(score, language));
      const mark = value === best ? " ▲" : "";
      return html("td", { class: mark ? "best" : undefined }, bar(Math.exp(value)), button, mark);
    });
    return html("tr", {}, html("th", { scope: "row" }, answers[a]!), ...cells);
  });
  const bars = say(
    {
      en: "0 is certain; the bar is the geometric mean of the probabilities per unit.",
      zh: "0 表示完全确定；条是每个单位概率的几何平均。",
    },
    language,
  );
  const part = section(element, title, noteOf(joinSentences([bars, note], language), language));
  const table = html("table", { class: "compare-scores" }, html("thead", {}, head), html("tbody", {}, ...lines));
  part.append(html("div", { class: "compare-frame" }, table));
}

function scoreInWords(score: CompareScore, language: Language): string {
  if (score.nats === null) {
    const none = {
      en: "Prompt and answer do not fit the model's context, or the probability is 0.",
      zh: "提示和回答超出模型的上下文，或概率为 0。",
    };
    return say(none, language);
  }
  const by =
    score.by === "ids"
      ? { en: "The ids of the answer are scored.", zh: "打分用的是回答的 id。" }
      : {
          en: "The tokenizers differ, so the text is scored through this model's own tokenizer.",
          zh: "分词器不同，所以用这个模型自己的分词器给文本打分。",
        };
  const [nats, tokens, bytes] = [number(score.nats), score.ids.length, score.bytes];
  return language === "zh"
    ? `${nats} nat / ${tokens} 个 token / ${bytes} 字节。${by.zh}`
    : `${nats} nats / ${tokens} tokens / ${bytes} bytes. ${by.en}`;
}
