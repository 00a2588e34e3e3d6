/** The small parts that drawings are made of: headed sections, sentences with tokens in them, and bars. */

import "./figure.css";
import "./parts.css";
import { fill, html } from "./dom";
import type { Language } from "./draw";
import { hint } from "./hint";
import type { PlainToken } from "./names";
import { say, tokenName } from "./text";

const NAT = {
  en: "A nat is the unit of natural logarithms: 1 nat is a factor of e ≈ 2.7 in probability, 2.3 nats are a factor of 10.",
  zh: "nat 是自然对数的单位：相差 1 nat，概率相差 e ≈ 2.7 倍；2.3 nat 是 10 倍。",
};

/** A part of a view under its own heading; returns the part, to which the rest is added. */
export function section(element: HTMLElement, title: string, note?: string | HTMLElement): HTMLElement {
  const part = html("section", { class: "part" }, html("h3", {}, title));
  if (note) {
    part.append(typeof note === "string" ? html("p", { class: "note" }, note) : note);
  }
  element.append(part);
  return part;
}

/** A note in which the first "nat" says what it is. */
export function noteOf(text: string, language: Language): HTMLElement {
  const [before, unit, after] = text.split(/\b(nats?)\b(.*)/is);
  const parts = unit === undefined ? [text] : [before!, explained(unit, say(NAT, language)), after!];
  return html("p", { class: "note" }, ...parts);
}

/** A number or a unit that says what it means on hover, focus or tap. */
export function explained(value: string, meaning: string): HTMLElement {
  const found = html("button", { class: "explained number", type: "button" }, value);
  hint(found, () => meaning);
  return found;
}

/** A place for parts: next to each other if there is room for two, else one below the other. */
export function columns(element: HTMLElement, ...parts: Node[]): HTMLElement {
  const place = html("div", { class: "columns" }, ...parts);
  element.append(place);
  return place;
}

/** A token in running text. */
export function tokenMark(token: PlainToken): HTMLElement {
  return html("code", { class: "token token-mark" }, tokenName(token));
}

/** A sentence with elements in the places of its `{names}`. */
export function sentence(text: string, parts: Record<string, Node | string>): (Node | string)[] {
  return text.split(/\{(\w+)\}/).map((piece, i) => (i % 2 ? (parts[piece] ?? "") : piece));
}

/** The names of the columns of rows. */
export function rowsHead(...names: (Node | string)[]): HTMLElement {
  return html("div", { class: "rows-head" }, ...names.map((name) => html("span", {}, name)));
}

/** A bar from the left, of 0 to 1 of its track. */
export function bar(share: number): HTMLElement {
  const track = html("span", { class: "bar", "aria-hidden": "true" }, html("span", { class: "bar-fill" }));
  setBar(track, share);
  return track;
}

export function setBar(track: HTMLElement, share: number): void {
  track.style.setProperty("--length", String(Math.max(0, Math.min(1, share || 0))));
}

/** A bar from the middle: to the right for positive shares, hatched and to the left for negative ones. */
export function signedBar(share: number): HTMLElement {
  const track = bar(Math.abs(share) / 2);
  track.classList.add("bar-signed", share < 0 ? "against" : "toward");
  return track;
}

/** What the reader chose, in words; screen readers read it when it changes. */
export function drawReadout(element: HTMLElement, text: string): (text: string) => void {
  const readout = html("p", { class: "chosen-words", "aria-live": "polite" }, text);
  element.append(readout);
  return (next) => {
    fill(readout, next);
  };
}
