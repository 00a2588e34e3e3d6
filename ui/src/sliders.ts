/** The sampling settings and the random number as sliders, with a button that sets them as they were recorded. */

import "./sliders.css";
import { fill, html, setAttribute } from "./dom";
import type { Bilingual, Language } from "./draw";
import { hint } from "./hint";
import type { Settings } from "./sampler";
import { say } from "./text";

export interface Chosen extends Settings {
  uniform: number;
}

interface Slider {
  name: keyof Chosen;
  title: Bilingual;
  meaning: Bilingual;
  most: number;
  least: number;
  step: number | "any";
  digits: number;
  /** The value at which the setting changes nothing. */
  off?: number;
}

const SLIDERS: Slider[] = [
  {
    name: "temperature", title: { en: "Temperature", zh: "温度" }, least: 0, most: 2, step: 0.05, digits: 2,
    meaning: {
      en: "Logits are divided by it. Below 1, likely tokens become likelier; above 1, all become more alike. 0 takes the likeliest.",
      zh: "logits 除以它。小于 1 时，可能的更可能；大于 1 时，彼此更接近。0 表示只取最可能的。",
    },
  },
  {
    name: "top_k", title: { en: "top-k", zh: "top-k" }, least: 0, most: 100, step: 1, digits: 0, off: 0,
    meaning: { en: "Only the k likeliest tokens are left.", zh: "只留下最可能的 k 个 token。" },
  },
  {
    name: "top_p", title: { en: "top-p", zh: "top-p" }, least: 0.01, most: 1, step: 0.01, digits: 2, off: 1,
    meaning: {
      en: "Only the fewest likeliest tokens are left whose probabilities together reach p.",
      zh: "从最可能的开始，留下概率之和刚好达到 p 的最少 token。",
    },
  },
  {
    name: "min_p", title: { en: "min-p", zh: "min-p" }, least: 0, most: 1, step: 0.01, digits: 2, off: 0,
    meaning: {
      en: "Only tokens are left that are at least this share as likely as the likeliest one.",
      zh: "只留下概率至少是最高概率的这个比例的 token。",
    },
  },
  {
    name: "uniform", title: { en: "Random number", zh: "随机数" }, least: 0, most: 0.9999, step: "any", digits: 4,
    meaning: {
      en: "The token whose interval on the line from 0 to 1 holds this number is chosen.",
      zh: "在从 0 到 1 的线上，这个数落在谁的区间里，就选谁。",
    },
  },
];
const WORDS = {
  off: { en: "off", zh: "关" },
  reset: { en: "As recorded", zh: "恢复原样" },
  settings: { en: "Settings of the sampler", zh: "采样设置" },
};

export function drawSliders(
  element: HTMLElement,
  recorded: Chosen,
  start: Chosen,
  language: Language,
  onChange: (chosen: Chosen) => void,
): { setUniform(value: number): void } {
  let chosen = { ...start };
  const reset = html("button", { class: "button", type: "button" }, say(WORDS.reset, language));
  const rows = SLIDERS.map((slider) => {
    const { name, least, step } = slider;
    const most = Math.max(slider.most, recorded[name]);
    const input = html("input", { type: "range", min: least, max: most, step, value: start[name], name });
    const output = html("output", { class: "number" });
    const title = html("span", { class: "slider-name" }, say(slider.title, language));
    const row = html("label", { class: "slider" }, title, input, output);
    hint(input, () => say(slider.meaning, language));
    input.addEventListener("input", () => change({ [name]: Number(input.value) }));
    return { slider, input, output, row };
  });

  function show(): void {
    for (const { slider, input, output } of rows) {
      const value = chosen[slider.name];
      const text = value === slider.off ? say(WORDS.off, language) : value.toFixed(slider.digits);
      fill(output, text);
      setAttribute(input, "aria-valuetext", text);
    }
    reset.disabled = SLIDERS.every(({ name }) => chosen[name] === recorded[name]);
  }

  function change(values: Partial<Chosen>): void {
    chosen = { ...chosen, ...values };
    show();
    onChange(chosen);
  }

  function set(values: Partial<Chosen>): void {
    for (const { slider, input } of rows) {
      const value = values[slider.name];
      if (value !== undefined) {
        input.value = String(value);
      }
    }
    change(values);
  }

  reset.addEventListener("click", () => set(recorded));
  const group = html("div", { class: "sliders", role: "group", "aria-label": say(WORDS.settings, language) });
  group.append(...rows.map(({ row }) => row), reset);
  element.append(group);
  show();
  return { setUniform: (uniform) => set({ uniform }) };
}
