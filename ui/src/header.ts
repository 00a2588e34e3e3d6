/** The head of a page: which text, which model, whether all checks hold; and the choice of language and theme. */

import { html } from "./dom";
import type { Bilingual, Language } from "./draw";
import { hint } from "./hint";
import type { ShownView } from "./remarks";
import { number, say } from "./text";
import type { ModelFacts, Passage } from "./types";

export type Theme = "system" | "light" | "dark";

interface HeaderOptions {
  language: Language;
  theme: Theme;
  onLanguage(language: Language): void;
  onTheme(theme: Theme): void;
}

const LANGUAGES: [Language, Bilingual][] = [
  ["en", { en: "English", zh: "English" }],
  ["zh", { en: "中文", zh: "中文" }],
];
const THEMES: [Theme, Bilingual][] = [
  ["system", { en: "System", zh: "跟随系统" }],
  ["light", { en: "Light", zh: "浅色" }],
  ["dark", { en: "Dark", zh: "深色" }],
];
const WORDS = {
  brand: { en: "Liuli 琉璃: a model with the lid off", zh: "Liuli 琉璃：打开盖子看模型" },
  language: { en: "Language", zh: "语言" },
  theme: { en: "Theme", zh: "主题" },
  checks: { en: "checks of the numbers hold", zh: "项数值检查通过" },
  noText: { en: "What happened inside the model", zh: "模型内部发生了什么" },
  model: { en: "Model", zh: "模型" },
  hash: { en: "Identity (SHA-256 of its weights)", zh: "身份（权重的 SHA-256）" },
};

export function drawHeader(views: ShownView[], passage: Passage | null, options: HeaderOptions): HTMLElement {
  const { language } = options;
  const brand = html("p", { class: "page-brand" }, say(WORDS.brand, language));
  const switches = html(
    "div",
    { class: "page-switches" },
    segments(say(WORDS.language, language), LANGUAGES, language, language, options.onLanguage),
    segments(say(WORDS.theme, language), THEMES, options.theme, language, options.onTheme),
  );
  const text = passage?.text || say(WORDS.noText, language);
  const title = html("h1", { class: passage?.text ? "page-text" : "" }, text);
  const facts = html("p", { class: "page-facts" });
  const model = views.map(({ view }) => ("model" in view ? view.model : null)).find((each) => each !== null);
  if (model) {
    facts.append(modelFacts(model, language));
  }
  facts.append(checkFacts(views, language));
  return html("header", { class: "page-head" }, html("div", { class: "page-top" }, brand, switches), title, facts);
}

/** The name of the model; everything else about it is in its hint. */
function modelFacts(model: ModelFacts, language: Language): HTMLElement {
  const name = model.path.split(/[/\\]/).filter(Boolean).at(-1) ?? model.path;
  const sizes =
    language === "zh"
      ? `${short(model.parameters)} 个参数，${model.layers} 层 × ${model.heads} 个头，宽 ${model.width}`
      : `${short(model.parameters)} parameters, ${model.layers} layers × ${model.heads} heads, width ${model.width}`;
  const colon = language === "zh" ? "：" : ":";
  const button = html("button", { class: "page-model", type: "button" }, html("strong", {}, name), ` ${sizes}`);
  hint(button, () =>
    [
      `${say(WORDS.model, language)}${colon} ${model.path}`,
      ...(model.adapter ? [`+ ${model.adapter.path}`] : []),
      `${model.family}, ${model.dtype}, ${model.device}; ${model.tokenizer}, ${model.vocab_size.toLocaleString("en-US")} token`,
      `${say(WORDS.hash, language)}${colon} ${model.hash}`,
    ].join("\n"),
  );
  return button;
}

function checkFacts(views: ShownView[], language: Language): HTMLElement {
  const checks = views.flatMap(({ view }): { ok: boolean }[] => view.checks);
  const held = checks.filter(({ ok }) => ok).length;
  const all = held === checks.length;
  const text = `${all ? "✓" : "✗"} ${held}/${checks.length} ${say(WORDS.checks, language)}`;
  return html("span", { class: all ? "page-checks" : "page-checks failed" }, text);
}

function short(count: number): string {
  const [size, unit] = count >= 1e9 ? [1e9, " B"] : count >= 1e6 ? [1e6, " M"] : count >= 1e3 ? [1e3, " k"] : [1, ""];
  return `${number(count / (size as number))}${unit}`;
}

/** A few choices of which one holds, as radio buttons that look like one control. */
function segments<Value extends string>(
  label: string,
  choices: [Value, Bilingual][],
  chosen: Value,
  language: Language,
  onChoice: (value: Value) => void,
): HTMLElement {
  const inputs = choices.map(([value, name]) => {
    const input = html("input", { type: "radio", name: label, value, checked: value === chosen, "data-key": value });
    input.addEventListener("change", () => onChoice(value));
    return html("label", {}, input, html("span", {}, say(name, language)));
  });
  return html("fieldset", { class: "segments" }, html("legend", {}, label), ...inputs);
}
