/** Playback of a run: what the model predicted after some prompts at each recorded step, next to the truth. */

import "./learning.css";
import { drawLineChart, type DrawnLineChart } from "../line-chart";
import { html } from "../dom";
import { UNLINKED, type Draw, type Language } from "../draw";
import { follow, type Followed, type FollowedPrompt } from "../followed";
import { unpack } from "../packed";
import { bar, columns, section, sentence, setBar } from "../parts";
import { makeSwitch } from "../switch";
import { joinSentences, percent, say, shownText, tokenName, visible } from "../text";
import type { LearningView, RunWorld, TrackedPrompt } from "../types";

const FRAME = 90; // milliseconds per recorded step
const CALM_FRAME = 1000; // if the reader's system asks for less motion,
const CALM_FRAMES = 12; // and then in so many jumps

export const drawLearning: Draw<LearningView> = (element, view, { language }) => {
  const { prompts } = view.body;
  const steps = [...unpack(view.body.steps).values];
  const place = html("div", {});
  let prompt = drawPrompt(place, prompts[0]!, view.body.world, language);
  let at = steps.length - 1;
  if (prompts.length > 1) {
    const choices = prompts.map((each, i) => ({ value: String(i), text: shownText(each.input.text) }));
    const choosePrompt = (value: string) => {
      place.replaceChildren();
      prompt = drawPrompt(place, prompts[Number(value)]!, view.body.world, language);
      prompt.show(at);
    };
    element.append(makeSwitch(say({ en: "Prompt", zh: "提示" }, language), choices, "0", choosePrompt));
  }
  const player = makePlayer(view, steps, language, (next) => {
    at = next;
    prompt.show(at);
    curve.mark(steps[at]!);
  });
  element.append(player.element);
  const curve = drawLoss(columns(element, place), view, steps, language, player.go);
  player.go(at);
  return UNLINKED;
};

interface Player {
  element: HTMLElement;
  go(at: number): void;
}

/** A button and a slider over the recorded steps. Nothing moves before the reader asks for it. */
function makePlayer(view: LearningView, steps: number[], language: Language, onStep: (at: number) => void): Player {
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
    slider.setAttribute("aria-valuetext", text);
    readout.textContent = text;
    onStep(at);
  }

  function stop(): void {
    window.clearInterval(timer);
    timer = 0;
    setButton();
  }

  function play(): void {
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const jump = calm ? Math.ceil(last / CALM_FRAMES) : 1;
    go(at === last ? 0 : at);
    timer = window.setInterval(() => {
      if (at >= last || !button.isConnected) {
        stop();
      } else {
        go(Math.min(last, at + jump));
      }
    }, calm ? CALM_FRAME : FRAME);
    setButton();
  }

  function setButton(): void {
    button.textContent = timer ? say({ en: "❚❚ Pause", zh: "❚❚ 暂停" }, language) : say({ en: "▶ Play", zh: "▶ 播放" }, language);
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
  return { element: html("div", { class: "learning-player" }, button, slider, readout), go: goAndStop };
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
      best.textContent = bestInWords(followed.best[at]!, language);
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
  value.textContent = share === null ? least < 0.0001 ? percent(least) : `< ${percent(least)}` : percent(share);
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
): DrawnLineChart {
  const loss = unpack(view.body.loss);
  const part = section(element, say({ en: "The loss of the run", zh: "这次训练的损失" }, language));
  return drawLineChart(part, {
    label: say({ en: "Loss by step", zh: "各步的损失" }, language),
    curves: [
      {
        name: say({ en: "training (mean since the recorded step before)", zh: "训练（自上次记录以来的平均）" }, language),
        points: steps.map((step, at) => [step, loss.at(at)] as const),
        main: true,
      },
      {
        name: say({ en: "validation", zh: "验证" }, language),
        points: view.body.validation.map(([step, value]) => [step, value ?? NaN] as const),
        dots: true,
      },
    ],
    xName: say({ en: "step (logarithmic)", zh: "步（对数）" }, language),
    yName: say({ en: "nats per token", zh: "nat / token" }, language),
    xScale: "log",
    onPick: (step) => onPick(steps.indexOf(step)),
  });
}
