/** Attention: the habits of all heads, then the heads of one layer, then what one token reads in one head. */

import type { Draw, Options } from "../draw";
import { fill, html } from "../dom";
import { makeCheckbox, makeSwitch, type Choice } from "../switch";
import { joinSentences, number, percent } from "../text";
import type { AttentionView } from "../types";
import { HABITS, largestRead, readAttention, triangleStart } from "./attention-data";
import type { AttentionData, Habit, Measure, Setting } from "./attention-data";
import { drawHead, type HeadState } from "./attention-head";
import { drawHabit } from "./attention-overview";
import { drawTriangle } from "./attention-triangle";
import "../figure.css";
import "./attention.css";

const WORDS = {
  en: {
    overview: "All heads of the model",
    habit: "What is shown of each head",
    habits: {
      first: "First token",
      previous: "Previous token",
      itself: "Itself",
      induction: "Induction",
      entropy: "Entropy",
    },
    layer: (layer: number) => `The heads of layer ${layer}`,
    window: (size: number) => `In this layer, a token sees only the last ${size} tokens.`,
    how: "A row of a triangle is a token; its cells, from left to right, are the tokens up to it. The stronger the colour, the stronger the read.",
    last: (count: number, all: number) => `The triangles have the last ${count} of ${all} tokens; the lists have all.`,
    other: (layer: number) => `Only the weights of layer ${layer} are stored here. For another layer, add to liuli look: `,
    full: (value: string) => `full colour: ${value}`,
    measure: "What the colour shows",
    weight: "Weight",
    size: "Weight × size of the value",
    hideFirst: "Hide the first token",
    head: (head: number) => `head ${head}`,
    heads: "Head to look at",
  },
  zh: {
    overview: "模型的全部注意力头",
    habit: "每个头显示什么",
    habits: { first: "首个 token", previous: "前一个 token", itself: "自身", induction: "归纳", entropy: "熵" },
    layer: (layer: number) => `第 ${layer} 层的各个头`,
    window: (size: number) => `这一层里，一个 token 只能看到最近的 ${size} 个 token。`,
    how: "三角形的一行是一个 token，从左到右的格子是它能看到的 token。颜色越浓，读得越多。",
    last: (count: number, all: number) => `三角形只画 ${all} 个 token 里的最后 ${count} 个，列表里是全部。`,
    other: (layer: number) => `这里只存了第 ${layer} 层的权重。要看别的层，给 liuli look 加上：`,
    full: (value: string) => `最浓：${value}`,
    measure: "颜色表示什么",
    weight: "权重",
    size: "权重 × value 的大小",
    hideFirst: "隐藏首个 token",
    head: (head: number) => `头 ${head}`,
    heads: "选择一个头",
  },
} as const;

export const drawAttention: Draw<AttentionView> = (element, view, options) => {
  const data = readAttention(view);
  const words = WORDS[options.language];
  const { kept } = options;
  const setting: Setting = kept.read("setting", { measure: "weight", hideFirst: data.tokens > 1 });
  let head = kept.read("head", mostOnOthers(data));
  let token = options.selected ?? data.tokens - 1;
  const thumbnails = html("div", { class: "attention-heads", role: "radiogroup", "aria-label": words.heads });
  const large = html("div", { class: "attention-head" });
  const full = html("span");
  let largest = largestRead(data, setting);

  const drawLarge = () =>
    drawHead(large, { data, view, setting, head, token, largest, language: options.language }, (next) => {
      token = next ?? data.tokens - 1;
      drawLarge();
      options.onSelect(next);
    });
  const chooseHead = (next: number) => {
    head = next;
    kept.write("head", head);
    thumbnails.querySelectorAll("input").forEach((input, at) => (input.checked = at === head));
    drawLarge();
  };
  const drawLayer = () => {
    largest = largestRead(data, setting);
    kept.write("setting", setting);
    fill(full, words.full(setting.measure === "weight" ? percent(largest) : number(largest)));
    drawThumbnails(thumbnails, { data, setting, head, largest, language: options.language }, chooseHead);
    drawLarge();
  };

  const { window } = view.body;
  const start = triangleStart(data);
  const layerNote = [
    words.how,
    start ? words.last(data.tokens - start, data.tokens) : "",
    window === null ? "" : words.window(window),
    words.other(data.layer),
  ];
  element.append(
    html(
      "div",
      { class: "figure attention" },
      html("h3", {}, words.overview),
      drawOverview(data, options, chooseHead),
      html("h3", {}, words.layer(data.layer)),
      html("p", { class: "note" }, joinSentences(layerNote, options.language), html("code", {}, "--layer N")),
      html(
        "div",
        { class: "controls" },
        ...drawSettings(setting, words, drawLayer),
        html("span", { class: "attention-ramp" }, html("span", { class: "number" }, "0"), html("i"), full),
      ),
      thumbnails,
      large,
    ),
  );
  drawLayer();
  return {
    select: (index) => {
      token = index ?? data.tokens - 1;
      drawLarge();
    },
  };
};

function drawSettings(setting: Setting, words: (typeof WORDS)[Options["language"]], onChange: () => void): HTMLElement[] {
  const measures: Choice<Measure>[] = [
    { value: "weight", text: words.weight },
    { value: "size", text: words.size },
  ];
  return [
    makeSwitch(words.measure, measures, setting.measure, (measure) => {
      setting.measure = measure;
      onChange();
    }),
    makeCheckbox(words.hideFirst, setting.hideFirst, (hidden) => {
      setting.hideFirst = hidden;
      onChange();
    }),
  ];
}

/** The head of the layer that reads most from other tokens than the first one and the token itself. */
function mostOnOthers(data: AttentionData): number {
  const { first, itself } = data.habits;
  const shares = Array.from({ length: data.heads }, (_, head) => first.at(data.layer, head) + itself.at(data.layer, head));
  return Math.max(0, shares.indexOf(Math.min(...shares)));
}

function drawOverview(data: AttentionData, options: Options, chooseHead: (head: number) => void): HTMLElement {
  const words = WORDS[options.language];
  const picture = html("div");
  const show = (habit: Habit) => {
    options.kept.write("habit", habit);
    drawHabit(picture, data, habit, options.language, chooseHead);
  };
  const choices = HABITS.map((habit) => ({
    value: habit,
    text: words.habits[habit],
    disabled: data.habits[habit].values.every(Number.isNaN),
  }));
  const start = options.kept.read<Habit>("habit", "first");
  show(start);
  return html("div", {}, html("div", { class: "controls" }, makeSwitch<Habit>(words.habit, choices, start, show)), picture);
}

type LayerState = Pick<HeadState, "data" | "setting" | "head" | "largest" | "language">;

function drawThumbnails(element: HTMLElement, state: LayerState, choose: (head: number) => void): void {
  const { data, setting, largest, language } = state;
  const hadFocus = element.contains(document.activeElement);
  element.replaceChildren(
    ...Array.from({ length: data.heads }, (_, head) => {
      const input = html("input", { type: "radio", name: `liuli-head-${data.layer}`, checked: head === state.head });
      input.addEventListener("change", () => choose(head));
      const name = html("span", {}, WORDS[language].head(head));
      return html("label", {}, input, drawTriangle(data, setting, head, largest), name);
    }),
  );
  if (hadFocus) {
    element.querySelector<HTMLInputElement>("input:checked")?.focus();
  }
}
