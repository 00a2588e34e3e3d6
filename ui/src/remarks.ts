/** What stands below every view: what it cannot show, and the checks of its numbers. */

import { html } from "./dom";
import type { Bilingual, Kept, Language } from "./draw";
import { number, say } from "./text";
import type { CompareTrace, SelfCheck, View } from "./types";

export interface ShownView {
  name: string;
  shows: Bilingual;
  view: View | CompareTrace;
}

interface Texts {
  caveats: Record<string, Bilingual>;
  checks: Record<string, Bilingual>;
  units: Record<string, Bilingual>;
}

const WORDS = {
  caveats: { en: "What it does not show", zh: "它没有说明什么" },
  held: { en: "Checked", zh: "已检查" },
  failed: { en: "A check does not hold, so the numbers may be wrong. Please report this.", zh: "有一项检查没有通过，数字可能有误，请报告。" },
  what: { en: "What was measured", zh: "检查的是什么" },
  value: { en: "Value", zh: "数值" },
  allowed: { en: "Limit", zh: "上限" },
};

export function drawChecks({ view }: ShownView, texts: Texts, kept: Kept, language: Language): HTMLElement[] {
  const caveats = view.caveats.map((key) => html("li", {}, textOf(texts.caveats, key, language)));
  const parts: HTMLElement[] = [];
  if (caveats.length > 0) {
    const title = html("h3", {}, say(WORDS.caveats, language));
    parts.push(html("div", { class: "view-caveats" }, title, html("ul", {}, ...caveats)));
  }
  if (view.checks.length > 0) {
    parts.push(checksOf(view.checks, texts, kept, language));
  }
  return parts;
}

function checksOf(checks: SelfCheck[] | CompareTrace["checks"], texts: Texts, kept: Kept, language: Language): HTMLElement {
  const good = checks.every(({ ok }) => ok);
  const names = html("tr", {}, ...[WORDS.what, WORDS.value, WORDS.allowed].map((word) => html("th", { scope: "col" }, say(word, language))));
  const rows = checks.map(({ name, value, limit, unit, ok }) =>
    html(
      "tr",
      {},
      html("td", {}, `${ok ? "✓" : "✗"} ${textOf(texts.checks, name, language)}`),
      html("td", { class: "number" }, value === null ? "–" : number(value, 2)),
      html("td", { class: "number" }, `${number(limit ?? 0, 2)} ${textOf(texts.units, unit, language)}`),
    ),
  );
  const summary = html("summary", {}, good ? `✓ ${say(WORDS.held, language)} (${checks.length})` : say(WORDS.failed, language));
  const table = html("table", {}, html("thead", {}, names), html("tbody", {}, ...rows));
  const open = kept.read("checks", !good);
  const details = html("details", { class: good ? "view-checks" : "view-checks failed", open }, summary, table);
  details.addEventListener("toggle", () => kept.write("checks", details.open));
  return details;
}

function textOf(texts: Record<string, Bilingual>, key: string, language: Language): string {
  return say(texts[key] ?? { en: key, zh: key }, language);
}
