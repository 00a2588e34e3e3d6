/**
 * The choice of the next token: the settings, what each rule removes, the line from 0 to 1 with the interval of every token and
 * the random number, and the candidates. Sliders compute everything again from the logits, as the engine would (`sampler.ts`).
 */

import "./candidates.css";
import { drawRankCurve } from "../curve";
import { fill, html } from "../dom";
import { UNLINKED, type Draw, type Language } from "../draw";
import { addRowKeys } from "../grid-keys";
import { hint } from "../hint";
import { unpack } from "../packed";
import { adjust, distribution, pick, ranking, softmax, type Cut, type Sampled, type Settings } from "../sampler";
import { drawSliders, type Chosen } from "../sliders";
import { number, percent, say, textWidth, tokenName } from "../text";
import type { CandidatesView } from "../types";

const WORDS = {
  rules: { en: "What the rules leave", zh: "规则筛选之后" },
  line: { en: "The line from 0 to 1", zh: "从 0 到 1 的线" },
  lineNote: {
    en: "Every token that is left has an interval, in the order of the ids. Its length is its probability; the shortest are not drawn. Click on the line to choose another number, or go along it with the arrow keys and press Enter.",
    zh: "留下的每个 token 占一段，按 id 排列，长度就是它的概率；太短的没有画出来。点击这条线可以换一个随机数；也可以用方向键在上面移动，按 Enter 选定。",
  },
  candidates: { en: "Candidates", zh: "候选" },
  token: { en: "Token", zh: "token" },
  model: { en: "Model", zh: "模型" },
  sampler: { en: "After the sampler", zh: "采样器之后" },
  interval: { en: "Interval", zh: "区间" },
  others: { en: "All others", zh: "其余全部" },
  more: { en: "Show more", zh: "显示更多" },
  curve: { en: "All tokens by rank", zh: "按名次排列的全部 token" },
  greedy: { en: "not chosen: temperature 0 takes the likeliest", zh: "未选：温度为 0 时只取最可能的" },
};
const FEW = 12; // candidates that are listed at first
const SHORTEST = 0.0015; // of the line: an interval that is drawn
const LETTERS = 13; // pixels: the size of the names on the line
const RULES = { top_k: "top-k", top_p: "top-p", min_p: "min-p" };

/** The computed choice, and what it was computed from. */
interface Choice {
  sampled: Sampled;
  place: number;
  uniform: number;
  greedy: boolean;
}

export const drawCandidates: Draw<CandidatesView> = (element, view, { language, kept }) => {
  const { sampling, step, logits } = view.body;
  const own = unpack(logits).values;
  const adjusted = adjust(own, sampling as never, view.input.ids);
  const model = softmax(own);
  const listed = step.candidates ?? [];
  const nameOf = namesOf(view, own);
  const recorded: Chosen = { ...(sampling as unknown as Settings), uniform: step.uniform ?? 0 };
  const controls = html("div", {});
  const says = html("p", { class: "choice", role: "status" });
  const funnel = html("p", { class: "rules" });
  const line = html("div", { class: "line" });
  const table = html("div", {});
  const curve = html("div", {});
  let all = kept.read("all", false);
  let settings = kept.read("settings", recorded);

  function update(): void {
    const sampled = distribution(adjusted, settings);
    const choice = { sampled, place: pick(sampled, settings.uniform), uniform: settings.uniform, greedy: settings.temperature === 0 };
    fill(says, ...sentence(choice, nameOf, language));
    funnel.replaceChildren(...rulesOf(sampled.cuts, model.length, language));
    drawLine(line, choice, nameOf, say(WORDS.line, language), sliders.setUniform);
    drawTable(table, listed.slice(0, all ? listed.length : FEW), choice, model, language);
    drawRankCurve(curve, model, sampled, language);
  }

  const sliders = drawSliders(controls, recorded, settings, language, (chosen) => {
    settings = chosen;
    kept.write("settings", settings);
    update();
  });
  const more = html("button", { class: "button", type: "button", hidden: all || listed.length <= FEW }, say(WORDS.more, language));
  more.addEventListener("click", () => {
    all = true;
    kept.write("all", all);
    more.hidden = true;
    update();
  });
  const heading = (word: keyof typeof WORDS) => html("h3", {}, say(WORDS[word], language));
  const note = html("p", { class: "quiet small" }, say(WORDS.lineNote, language));
  element.append(controls, says, heading("rules"), funnel, heading("line"), line, scaleOf(), note);
  element.append(heading("candidates"), table, more, heading("curve"), curve);
  update();
  return UNLINKED;
};

/** The names of the tokens: of the most likely ones, of the candidates and of the chosen one; of others only the id. */
function namesOf({ body }: CandidatesView, logits: Float64Array): (id: number) => string {
  const likely = body.likely_names.split("\n");
  const names = new Map(likely.map((name, rank) => [ranking(logits)[rank]!, name]));
  for (const token of [...(body.step.candidates ?? []).map((each) => each.token), body.step.token]) {
    if (token) {
      names.set(token.id, tokenName(token));
    }
  }
  return (id) => names.get(id) ?? `id ${id}`;
}

function scaleOf(): HTMLElement {
  const ends = ["0", "0.25", "0.5", "0.75", "1"].map((text) => html("span", {}, text));
  return html("div", { class: "line-scale number", "aria-hidden": "true" }, ...ends);
}

function sentence({ sampled, place, uniform, greedy }: Choice, nameOf: (id: number) => string, language: Language): (Node | string)[] {
  const token = html("span", { class: "token choice-token" }, nameOf(sampled.ids[place]!));
  const chosen = percent(sampled.probs[place]!);
  const [from, to] = intervalOf(sampled, place).map((bound) => bound.toFixed(4));
  if (greedy) {
    return language === "zh"
      ? ["温度为 0，总是选最可能的：", token, "。随机数不起作用。"]
      : ["At temperature 0, the likeliest token is always chosen: ", token, ". The random number has no effect."];
  }
  return language === "zh"
    ? [`随机数 ${uniform.toFixed(4)} 落在 `, token, ` 的区间 [${from}, ${to}) 里，它在采样器之后的概率是 ${chosen}。`]
    : [`The random number ${uniform.toFixed(4)} is in the interval of `, token, `, from ${from} to ${to}: its probability after the sampler is ${chosen}.`];
}

function rulesOf(cuts: Cut[], total: number, language: Language): HTMLElement[] {
  const tokens = (count: number) => `${count.toLocaleString("en-US")} ${language === "zh" ? "个 token" : count === 1 ? "token" : "tokens"}`;
  const chips = cuts.map(({ rule, kept, mass }) => {
    const text = language === "zh" ? `${RULES[rule]}：留下 ${tokens(kept)}` : `${RULES[rule]} leaves ${tokens(kept)}`;
    const chip = html("button", { type: "button", class: "rule" }, text);
    hint(chip, () => (language === "zh" ? `去掉的概率：${percent(mass)}` : `It removes ${percent(mass)} of the probability.`));
    return chip;
  });
  const all = html("span", { class: "rule all" }, language === "zh" ? `全部 ${tokens(total)}` : `All ${tokens(total)}`);
  return [all, ...chips];
}

function intervalOf({ upper }: Sampled, place: number): [number, number] {
  return [place > 0 ? upper[place - 1]! : 0, upper[place]!];
}

/** The Tab key reaches the chosen interval, the arrow keys the others. */
function drawLine(
  element: HTMLElement,
  choice: Choice,
  nameOf: (id: number) => string,
  label: string,
  setUniform: (uniform: number) => void,
): void {
  const { sampled, uniform, greedy } = choice;
  const hadFocus = element.contains(document.activeElement);
  const intervals = html("div", { class: "line-tokens", role: "group", "aria-label": label });
  const parts: HTMLElement[] = [];
  let chosen = 0;
  sampled.ids.forEach((id, place) => {
    const [from, to] = intervalOf(sampled, place);
    if (to - from < SHORTEST) {
      return;
    }
    const name = nameOf(id);
    const inWords = `${name}: ${percent(sampled.probs[place]!)}\n${from.toFixed(6)} – ${to.toFixed(6)}`;
    const fits = (to - from) * element.clientWidth > textWidth(name, LETTERS) + LETTERS / 2;
    const part = html("span", { class: "line-token token", role: "button", tabindex: -1, "aria-label": inWords }, fits ? name : "");
    part.style.left = `${100 * from}%`;
    part.style.width = `${100 * (to - from)}%`;
    if (place === choice.place) {
      part.classList.add("chosen");
      chosen = parts.length;
    }
    hint(part, () => inWords);
    part.addEventListener("click", ({ clientX }) => setUniform(clientX ? placeOf(clientX, element) : (from + to) / 2));
    parts.push(part);
  });
  const mark = html("span", { class: "line-mark" }, html("span", { class: "number" }, uniform.toFixed(4)));
  mark.style.left = `${100 * uniform}%`;
  mark.classList.toggle("late", uniform > 0.85);
  mark.hidden = greedy;
  intervals.append(...parts);
  addRowKeys(intervals, parts, chosen);
  element.replaceChildren(intervals, mark);
  if (hadFocus) {
    parts[chosen]?.focus();
  }
}

/** The place on the line from 0 to 1 at which the pointer is. */
function placeOf(clientX: number, line: HTMLElement): number {
  const { left, width } = line.getBoundingClientRect();
  return Math.min(0.999999, Math.max(0, (clientX - left) / width));
}

function drawTable(
  element: HTMLElement,
  listed: NonNullable<CandidatesView["body"]["step"]["candidates"]>,
  choice: Choice,
  model: Float64Array,
  language: Language,
): void {
  const { sampled, greedy } = choice;
  const after = (id: number) => (sampled.place(id) < 0 ? 0 : sampled.probs[sampled.place(id)]!);
  const ids = listed.map(({ token }) => token.id);
  const widest = Math.max(...ids.map((id) => Math.max(model[id]!, after(id))));
  const rows = listed.map(({ token }) => {
    const place = sampled.place(token.id);
    const rule = sampled.cutBy(token.id);
    const removed = rule ? (language === "zh" ? `被 ${RULES[rule]} 去掉` : `removed by ${RULES[rule]}`) : greedy ? say(WORDS.greedy, language) : "";
    const last = place < 0 ? removed : intervalOf(sampled, place).map((bound) => bound.toFixed(4)).join(" – ");
    const row = rowOf(tokenName(token), model[token.id]!, after(token.id), widest, last);
    row.classList.toggle("removed", place < 0);
    row.classList.toggle("chosen", place >= 0 && place === choice.place);
    row.dataset.id = String(token.id);
    return row;
  });
  const rest = (of: (id: number) => number) => Math.max(0, 1 - ids.reduce((sum, id) => sum + of(id), 0));
  const count = sampled.ids.length - ids.filter((id) => sampled.place(id) >= 0).length;
  const left = language === "zh" ? `还有 ${number(count, 7)} 个` : `${number(count, 7)} left`;
  const others = rowOf(say(WORDS.others, language), rest((id) => model[id]!), rest(after), widest, left);
  others.classList.add("others");
  others.querySelector("th")!.classList.remove("token");
  const names = [WORDS.token, WORDS.model, WORDS.sampler, WORDS.interval].map((word) => say(word, language));
  const head = html(
    "tr",
    {},
    html("th", { scope: "col" }, names[0]!),
    html("th", { scope: "col", class: "candidate-bars" }, html("span", { class: "quiet" }, "■ "), names[1]!, html("span", { class: "accent" }, "  ■ "), names[2]!),
    html("th", { scope: "col" }, names[1]!),
    html("th", { scope: "col" }, names[2]!),
    html("th", { scope: "col" }, names[3]!),
  );
  element.replaceChildren(html("table", { class: "candidate-table" }, html("thead", {}, head), html("tbody", {}, ...rows, others)));
}

function rowOf(name: string, model: number, after: number, widest: number, last: string): HTMLElement {
  const bar = (kind: string, share: number) => {
    const part = html("span", { class: `candidate-bar ${kind}` });
    part.style.width = `${(100 * Math.min(share, widest)) / widest}%`;
    return part;
  };
  return html(
    "tr",
    {},
    html("th", { scope: "row", class: "token" }, name),
    html("td", { class: "candidate-bars" }, bar("model", model), bar("after", after)),
    html("td", { class: "number" }, percent(model)),
    html("td", { class: "number" }, after > 0 ? percent(after) : "–"),
    html("td", { class: "number candidate-last" }, last),
  );
}
