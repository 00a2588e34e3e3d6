/** The text as a row of tokens, of which one can be chosen; with the arrow keys too. Most views begin with it. */

import "./strip.css";
import type { Drawing, Options } from "./draw";
import { html } from "./dom";
import { passageTokenName } from "./text";

export interface PassageToken {
  index: number;
  id: number;
  shown: string;
  part: number[];
  bytes: number[];
  special: boolean;
}

/** What a view adds to a token: a share from −1 to 1 that colours it, and a label below it. */
export interface Mark {
  share?: number;
  label?: string;
}

export function drawStrip(
  element: HTMLElement,
  tokens: readonly PassageToken[],
  options: Pick<Options, "selected" | "onSelect">,
  label: string,
  mark: (index: number) => Mark = () => ({}),
): Drawing {
  const list = html("div", { class: "strip", role: "listbox", "aria-label": label, "aria-orientation": "horizontal" });
  const buttons = tokens.map((token) => {
    const { share = 0, label: below } = mark(token.index);
    const button = html("button", { class: "strip-token token", role: "option", type: "button", tabindex: -1 });
    button.append(html("span", {}, passageTokenName(token)));
    if (below) {
      button.append(html("small", { class: "number" }, below));
    }
    if (token.special) {
      button.classList.add("special");
    }
    if (share) {
      button.style.setProperty("--share", `${Math.round(100 * Math.min(1, Math.abs(share)))}%`);
      button.classList.add(share > 0 ? "toward" : "against");
    }
    button.addEventListener("click", () => choose(token.index === chosen ? null : token.index));
    return button;
  });
  let chosen: number | null = null;

  function show(index: number | null): void {
    chosen = index;
    buttons.forEach((button, at) => {
      button.setAttribute("aria-selected", String(at === index));
      button.tabIndex = at === (index ?? 0) ? 0 : -1;
    });
  }

  function choose(index: number | null): void {
    show(index);
    options.onSelect(index);
  }

  list.addEventListener("keydown", (event) => {
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, Home: -tokens.length, End: tokens.length };
    const step = steps[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const focused = buttons.indexOf(document.activeElement as HTMLButtonElement);
      const next = Math.max(0, Math.min(tokens.length - 1, focused + step));
      choose(next);
      buttons[next]!.focus();
    }
  });
  list.append(...buttons);
  element.append(list);
  show(options.selected);
  return { select: show };
}
