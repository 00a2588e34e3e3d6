/** Playback of a run: what the model predicted after some prompts at each recorded step, next to the truth. */

import "./learning.css";
import { drawChart, type DrawnChart } from "../chart";
import { fill, html, setAttribute } from "../dom";
import { UNLINKED, type Draw, type Kept, type Language } from "../draw";
import { follow, type Followed, type FollowedPrompt } from "../followed";
import { unpack } from "../packed";
import { bar, columns, noteOf, section, sentence, setBar } from "../parts";
import { extent, logScale, roundScale } from "../scale";
import { makeSwitch } from "../switch";
import { joinSentences, percent, say, shownText, tokenName, visible } from "../text";
import type { LearningView, RunWorld, TrackedPrompt } from "../types";

const FRAME = 90; // milliseconds per recorded step
const CALM_FRAME = 1000; // if the reader's system asks for less motion,
const CALM_FRAMES = 12; // and then in so many jumps

export const drawLearning: Draw<LearningView> = (element, view, { language, kept }) => {
  const { prompts } = view.body;
  const steps = [...unpack(view.body.steps).values];
  const place = html("div", {});
  const chosen = kept.read("prompt", 0);
  let prompt = drawPrompt(place, prompts[chosen]!, view.body.world, language);
  let at = kept.read("step", steps.length - 1);
  if (prompts.length > 1) {
    const choices = prompts.map((each, i) => ({ value: String(i), text: shownText(each.input.text) }));
    const choosePrompt = (value: string) => {
      kept.write("prompt", Number(value));
      place.replaceChildren();
      prompt = drawPrompt(place, prompts[Number(value)]!, view.body.world, language);
      prompt.show(at);
    };
    element.append(makeSwitch(say({ en: "Prompt", zh: "提示" }, language), choices, String(chosen), choosePrompt));
  }
  const player = makePlayer(view, steps, kept, language, (next) => {
    at = next;
    kept.write("step", at);
    prompt.show(at);
    curve.show(steps[at]!);
  });
  element.append(player.element);
  const curve = drawLoss(columns(element, place), view, steps, language, player.go);
  player.start(at);
  return UNLINKED;
};

interface Player {
  element: HTMLElement;
  /** The first step that is shown. */
  start(at: number): void;
  go(at: number): void;
}

/** A button and a slider over the recorded steps. Nothing moves before the reader asks for it. */
function makePlayer(
  view: LearningView,
  steps: number[],
  kept: Kept,
  language: Language,
  onStep: (at: number) => void,
): Player {
  const last = steps.length - 1;
  const tokens = unpack(view.body.tokens);
  const loss = unpack(view.body.loss);
  const label = say({ en: "Recorded step", zh: "记录的步" }, language);
  const button = html("button", { class: "learning-play", type: "button" });
  const slider = html("input", { type: "range", min: 0, max: last, step: 1, value: last, "aria-label": label });
  const readout = html("output", { class: "learning-step", "aria-live": "off" });
  let at = last;
  let timer = 0;

  function go(next: number): void {
    at = next;
    slider.value = String(at);
    const text = stepInWords(steps, tokens.at(at), loss.at(at), at, language);
    setAttribute(slider, "aria-valuetext", text);
    fill(readout, text);
    onStep(at);
  }

  function stop(): void {
    window.clearInterval(timer);
    timer = 0;
    kept.write("playing", false);
    setButton();
  }

  function play(): void {
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const jump = calm ? Math.ceil(last / CALM_FRAMES) : 1;
    go(at === last ? 0 : at);
    kept.write("playing", true);
    timer = window.setInterval(() => {
      if (!button.isConnected) {
        window.clearInterval(timer); // the page was drawn again, and another player plays
      } else if (at >= last) {
        stop();
      } else {
        go(Math.min(last, at + jump));
      }
    }, calm ? CALM_FRAME : FRAME);
    setButton();
  }

  function setButton(): void {
    fill(button, timer ? say({ en: "❚❚ Pause", zh: "❚❚ 暂停" }, language) : say({ en: "▶ Play", zh: "▶ 播放" }, language));
  }

  button.addEventListener("click", () => (timer ? stop() : play()));
  slider.addEventListener("input", () => {
    stop();
    go(Number(slider.value));
  });
  setButton();
  const goAndStop = (next: number) => {
    stop();
    go(next);
  };
  const start = (first: number) => {
    go(first);
    if (kept.read("playing", false)) {
      play();
    }
  };
  return { element: html("div", { class: "learning-player" }, button, slider, readout), start, go: goAndStop };
}

function stepInWords(steps: number[], tokens: number, loss: number, at: number, language: Language): string {
  const [step, last, read] = [steps[at]!, steps[steps.length - 1]!, tokens].map((value) => value.toLocaleString("en-US"));
  const nats = Number.isFinite(loss) ? loss.toFixed(2) : null;
  return say(
    {
      en: `step ${step} of ${last} · ${read} tokens read${nats ? ` · loss ${nats}` : " · before training"}`,
      zh: `第 ${step} 步，共 ${last} 步 · 已读 ${read} 个 token${nats ? ` · 损失 ${nats}` : " · 训练之前"}`,
    },
    language,
  );
}

/** The prompt, and a bar for each token that was ever likely after it. The rows keep their places, so they can be followed. */
function drawPrompt(
  element: HTMLElement,
  prompt: TrackedPrompt,
  world: RunWorld | null,
  language: Language,
): { show(at: number): void } {
  const followed = follow(prompt);
  const text = html("q", {}, visible(prompt.input.text));
  const lead = say({ en: "What the model expects after {text}", zh: "模型认为 {text} 之后是" }, language);
  element.append(html("p", { class: "part-lead" }, ...sentence(lead, { text })));
  if (world && prompt.truth.length > 0) {
    element.append(html("p", { class: "note" }, truthInWords(prompt, world, language)));
  }
  const rows = html("div", { class: "rows learning-rows" });
  const lines = followed.rows.map((row) => {
    const track = bar(0);
    if (row.truth > 0) {
      track.append(html("span", { class: "learning-truth", style: `--at: ${row.truth}` }));
    }
    const value = html("span", { class: "number" });
    const truth = html("span", { class: "number learning-true" }, row.truth > 0 ? `◆ ${percent(row.truth)}` : "");
    rows.append(html("div", { class: "row" }, html("span", { class: "token" }, tokenName(row.token)), track, value, truth));
    return { track, value };
  });
  const others = { track: bar(0), value: html("span", { class: "number" }) };
  others.track.classList.add("learning-others");
  const name = html("span", { class: "note-inline" }, say({ en: "all others", zh: "其他全部" }, language));
  rows.append(html("div", { class: "row" }, name, others.track, others.value, html("span", {})));
  const best = html("p", { class: "note" });
  element.append(rows, best);
  return {
    show(at) {
      fill(best, bestInWords(followed.best[at]!, language));
      followed.rows.forEach((row, i) => showShare(lines[i]!, row.shares[at]!, followed.least[at]!));
      showShare(others, followed.rest[at]!, 0);
    },
  };
}

interface Line {
  track: HTMLElement;
  value: HTMLElement;
}

/** `share`: null if the token was not among the listed ones, so that all is known is that it has less than `least`. */
function showShare({ track, value }: Line, share: Followed["shares"][number], least: number): void {
  setBar(track, share ?? 0);
  fill(value, share === null ? least < 0.0001 ? percent(least) : `< ${percent(least)}` : percent(share));
}

function bestInWords({ token, share }: FollowedPrompt["best"][number], language: Language): string {
  const [name, part] = [tokenName(token), percent(share)];
  return say({ en: `Most likely at this step: ${name} ${part}.`, zh: `这一步概率最高的是：${name} ${part}。` }, language);
}

/** What can follow in the world, whose world it is, and what the marks mean. */
function truthInWords({ truth, true_tokens }: TrackedPrompt, world: RunWorld, language: Language): string {
  const end = say({ en: "(the end)", zh: "（结束）" }, language);
  const listed = truth.slice(0, 5).map((piece) => `${visible(piece.text) || end} ${percent(piece.probability ?? 0)}`);
  const pieces = listed.join(say({ en: ", ", zh: "，" }, language));
  const name = shownText(world.name);
  const source = world.of_the_run
    ? { en: `The truth of the world that wrote the training text: ${pieces}.`, zh: `写出训练文本的世界里的真实情况：${pieces}。` }
    : {
        en: `In the world in ${name}: ${pieces}. The run was not trained on its text alone, so this need not be its truth.`,
        zh: `在 ${name} 这个世界里：${pieces}。这次训练用的不只是它的文本，所以不一定是训练数据的真实情况。`,
      };
  const mark = world.of_the_run
    ? { en: "The mark on a bar is where it should end.", zh: "条上的标记是它应该到的位置。" }
    : { en: "The mark on a bar is this world's probability.", zh: "条上的标记是这个世界里的概率。" };
  const joined = {
    en: "The tokenizer joins the end of the prompt with what follows, so no token can be marked.",
    zh: "分词器把提示的末尾和后面的文字合在一起，所以没有可以标记的 token。",
  };
  const marks = say(true_tokens.length > 0 ? mark : joined, language);
  return `◆ ${joinSentences([say(source, language), marks], language)}`;
}

function drawLoss(
  element: HTMLElement,
  view: LearningView,
  steps: number[],
  language: Language,
  onPick: (at: number) => void,
): DrawnChart {
  const loss = unpack(view.body.loss);
  const note = {
    en: "In nats per token: how surprised the model is on average by the token that follows.",
    zh: "单位是每个 token 的 nat：模型对下一个 token 平均有多意外。",
  };
  const part = section(element, say({ en: "The loss of the run", zh: "这次训练的损失" }, language), noteOf(say(note, language), language));
  const validation = view.body.validation.map(([step, value]) => [step, value ?? NaN] as const);
  const all = [...loss.values, ...validation.map(([, value]) => value)].filter(Number.isFinite);
  return drawChart(part, {
    label: say({ en: "Loss by step", zh: "各步的损失" }, language),
    curves: [
      {
        name: say({ en: "training (mean since the recorded step before)", zh: "训练（自上次记录以来的平均）" }, language),
        points: steps.map((step, at) => [step, loss.at(at)] as const),
        main: true,
      },
      {
        name: say({ en: "validation", zh: "验证" }, language),
        points: validation,
        dots: true,
      },
    ],
    x: { ...logScale(steps[steps.length - 1]!), name: say({ en: "step (logarithmic)", zh: "步（对数）" }, language) },
    y: { ...roundScale(...extent(all), 5), name: say({ en: "nats per token", zh: "nat / token" }, language) },
    onPick: (step) => onPick(steps.indexOf(step)),
  });
}
