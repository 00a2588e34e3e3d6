/**
 * A page with views: a header, the tokens of the text, and a section per view. A token that is chosen anywhere is chosen in
 * every view that read the same text. A view is drawn when it comes near the window, so that the page opens at once.
 */

import "./page.css";
import { html } from "./dom";
import { Kept, type Bilingual, type Drawing, type Language } from "./draw";
import { drawHeader, type Theme } from "./header";
import { DRAWN } from "./registry";
import { drawChecks, type ShownView } from "./remarks";
import { remember, remembered } from "./remembered";
import { drawStrip } from "./strip";
import { say } from "./text";
import type { Passage } from "./types";

/** What `liuli.inside.html` writes. */
export interface PageData {
  version: string;
  /** null: that of the reader's browser. */
  language: Language | null;
  views: ShownView[];
  refused: { name: string; shows: Bilingual; reason: Bilingual }[];
  /** By key. */
  caveats: Record<string, Bilingual>;
  /** What the value of each check is. */
  checks: Record<string, Bilingual>;
  units: Record<string, Bilingual>;
}

interface Section {
  shown: ShownView;
  kept: Kept;
  figure: HTMLElement;
  drawing: Drawing | null;
}

const WORDS = {
  text: { en: "The tokens of the text: choose one, and the views of these tokens follow", zh: "文本的 token：选一个，画有这些 token 的视图都会跟着变" },
  views: { en: "Views", zh: "视图" },
  missing: { en: "Views that this page does not have", zh: "本页没有的视图" },
  broken: { en: "This view could not be drawn.", zh: "这个视图画不出来。" },
  made: { en: "Made by Liuli", zh: "由 Liuli 生成，版本" },
};
const LANGUAGES: readonly Language[] = ["en", "zh"];
const THEMES: readonly Theme[] = ["system", "light", "dark"];
const NEAR = "800px"; // from the window: where views are drawn

export function drawPage(root: HTMLElement, data: PageData): void {
  let language = remembered("language", LANGUAGES) ?? data.language ?? browserLanguage();
  let theme = remembered("theme", THEMES) ?? "system";
  let selected: number | null = null;
  let sections: Section[] = [];
  let strip: Drawing | null = null;
  let observer: IntersectionObserver | null = null;
  const kept = new Map(data.views.map(({ name }) => [name, new Kept()]));
  const passage = data.views.map(({ view }) => passageOf(view)).find((each) => each && each.tokens.length > 0) ?? null;

  function select(index: number | null): void {
    selected = index;
    strip?.select(index);
    for (const { drawing, shown } of sections) {
      if (isLinked(shown)) {
        drawing?.select(index);
      }
    }
  }

  /** Whether a view read the text of the page, so that its tokens are those of the strip. */
  function isLinked({ view }: ShownView): boolean {
    const ids = passageOf(view)?.ids;
    return ids !== undefined && ids.length === passage?.ids.length && ids.every((id, at) => id === passage.ids[at]);
  }

  function drawSection(section: Section): void {
    const { figure, shown } = section;
    const linked = isLinked(shown);
    figure.classList.add("drawn");
    try {
      section.drawing = DRAWN[shown.name]!.draw(figure, shown.view as never, {
        language,
        selected: linked ? selected : null,
        onSelect: linked ? select : () => {},
        kept: section.kept,
      });
    } catch (error) {
      console.error(error);
      figure.replaceChildren(html("p", { class: "page-message", role: "alert" }, say(WORDS.broken, language)));
    }
  }

  function drawRest(): void {
    sections.filter(({ drawing }) => !drawing).forEach(drawSection);
  }

  function drawAll(): void {
    observer?.disconnect();
    document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
    const header = drawHeader(data.views, passage, { language, theme, onLanguage, onTheme });
    const main = html("main", {});
    sections = data.views.filter(({ name }) => name in DRAWN).map((shown) => {
      const figure = html("div", { class: "view-figure" });
      main.append(sectionOf(shown, figure));
      return { shown, kept: kept.get(shown.name)!, figure, drawing: null };
    });
    main.append(...drawRefused());
    main.append(html("footer", { class: "page-foot quiet" }, `${say(WORDS.made, language)} ${data.version}`));
    root.replaceChildren(header, ...drawTokens(), html("div", { class: "page-body" }, contents(), main));
    observe();
  }

  function sectionOf(shown: ShownView, figure: HTMLElement): HTMLElement {
    const id = `title-${shown.name}`;
    const title = html("h2", { id }, say(DRAWN[shown.name]!.title, language));
    const shows = html("p", { class: "view-shows" }, say(shown.shows, language));
    const remarks = drawChecks(shown, data, kept.get(shown.name)!, language);
    return html("section", { class: "view", id: shown.name, "aria-labelledby": id }, title, shows, figure, ...remarks);
  }

  function drawTokens(): HTMLElement[] {
    strip = null;
    if (!passage || data.views.length < 2) {
      return [];
    }
    const bar = html("div", { class: "page-tokens" });
    strip = drawStrip(bar, passage.tokens, { selected, onSelect: select }, say(WORDS.text, language));
    return [bar];
  }

  function contents(): HTMLElement {
    const links = data.views
      .filter(({ name }) => name in DRAWN)
      .map(({ name }) => html("li", {}, html("a", { href: `#${name}` }, say(DRAWN[name]!.title, language))));
    const list = html("ul", {}, ...links);
    return html("nav", { class: "page-contents", "aria-label": say(WORDS.views, language), hidden: links.length < 2 }, list);
  }

  function drawRefused(): HTMLElement[] {
    if (data.refused.length === 0) {
      return [];
    }
    const rows = data.refused.flatMap(({ name, shows, reason }) => [
      html("dt", {}, say(DRAWN[name]?.title ?? { en: name, zh: name }, language)),
      html("dd", {}, say(shows, language), html("span", { class: "quiet" }, say(reason, language))),
    ]);
    const title = html("h2", { id: "title-missing" }, say(WORDS.missing, language));
    const list = html("dl", { class: "page-missing" }, ...rows);
    return [html("section", { class: "view", id: "missing", "aria-labelledby": "title-missing" }, title, list)];
  }

  function observe(): void {
    observer = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          const section = sections.find(({ figure }) => figure === target);
          if (isIntersecting && section && !section.drawing) {
            drawSection(section);
            observer?.unobserve(target);
          }
        }
        markCurrent();
      },
      { rootMargin: `${NEAR} 0px` },
    );
    sections.forEach(({ figure }) => observer!.observe(figure));
  }

  /** Marks in the table of contents which view is at the top of the window. */
  function markCurrent(): void {
    const views = [...root.querySelectorAll<HTMLElement>("section.view")];
    const current = views.filter((view) => view.getBoundingClientRect().top < window.innerHeight / 3).at(-1) ?? views[0];
    for (const link of root.querySelectorAll(".page-contents a")) {
      link.setAttribute("aria-current", String(link.getAttribute("href") === `#${current?.id}`));
    }
  }

  function onTheme(chosen: Theme): void {
    theme = chosen;
    document.documentElement.dataset.theme = chosen;
    remember("theme", chosen);
  }

  /** Draws everything in another language; the place on the page, the focus, and what the reader has set stay. */
  function onLanguage(chosen: Language): void {
    language = chosen;
    remember("language", chosen);
    const drawn = sections.filter(({ drawing }) => drawing).map(({ shown }) => shown.name);
    const focused = document.activeElement?.getAttribute("data-key");
    const place = window.scrollY;
    drawAll();
    sections.filter(({ shown }) => drawn.includes(shown.name)).forEach(drawSection);
    root.querySelector<HTMLElement>(`[data-key="${focused}"]`)?.focus({ preventScroll: true });
    window.scrollTo(0, place);
  }

  document.documentElement.dataset.theme = theme;
  drawAll();
  window.addEventListener("scroll", markCurrent, { passive: true });
  window.addEventListener("beforeprint", drawRest);
}

/** Chinese if it is the first language that the reader has chosen in the browser; otherwise English. */
function browserLanguage(): Language {
  return /^zh\b/i.test(navigator.language) ? "zh" : "en";
}

/** The text that a view read. A comparison has one per model, so none of its own. */
function passageOf(view: ShownView["view"]): Passage | null {
  return "input" in view ? view.input : null;
}
