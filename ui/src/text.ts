/** How tokens and numbers are written. */

import type { Bilingual, Language } from "./draw";

/** Characters that control a terminal or the direction of text, as in `liuli/display.py`. They are shown by their numbers. */
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
const SIGNS: Record<string, string> = { " ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍" };

/** A text on one line, exactly: spaces and line breaks as signs. */
export function visible(text: string): string {
  return text
    .replace(/[ \n\t\r]/g, (character) => SIGNS[character] ?? character)
    .replace(CONTROLS, codePoint);
}

/** A text in which only characters that act instead of being shown are replaced. */
export function shownText(text: string): string {
  return text.replace(CONTROLS, (character) => (character === "\n" || character === "\t" ? character : codePoint(character)));
}

function codePoint(character: string): string {
  return `<U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}>`;
}

/** The name of a token of a passage: a part of a character as the character and which part it is. */
export function passageTokenName(token: { shown: string; part: number[] }): string {
  const [part = 0, parts = 1] = token.part;
  const name = visible(token.shown) || "∅";
  return parts > 1 ? `${name} ${part + 1}/${parts}` : name;
}

/** The name of a token of the vocabulary: bytes that are only a part of a character as numbers. */
export function tokenName(token: { text: string; bytes: readonly number[] }): string {
  const broken = token.text.includes("\ufffd") && token.bytes.length > 0;
  return visible(broken ? "" : token.text) || (broken ? wholeCharacters(token.bytes) : "∅");
}

function wholeCharacters(bytes: readonly number[]): string {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const size = [4, 3, 2, 1].find((each) => isOneCharacter(bytes.slice(at, at + each)));
    text += size ? visible(decode(bytes.slice(at, at + size))) : `<${bytes[at]!.toString(16).toUpperCase().padStart(2, "0")}>`;
    at += size ?? 1;
  }
  return text;
}

function isOneCharacter(bytes: readonly number[]): boolean {
  try {
    return [...decode(bytes)].length === 1;
  } catch {
    return false;
  }
}

/** Throws a TypeError if the bytes are not UTF-8. */
function decode(bytes: readonly number[]): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

/** A share of 1 in percent; one that is not 0 is never shown as 0. */
export function percent(share: number): string {
  if (!Number.isFinite(share)) {
    return "–";
  }
  if (share > 0 && share < 0.0001) {
    return "<0.01%";
  }
  return `${(100 * share).toFixed(share < 0.0995 ? 2 : 1)}%`;
}

/** A number with as many significant digits as help to compare it. */
export function number(value: number, digits = 3): string {
  if (!Number.isFinite(value)) {
    return "–";
  }
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4)) {
    return value.toExponential(digits - 1);
  }
  return Number(value.toPrecision(digits)).toLocaleString("en-US", { maximumFractionDigits: 6 });
}

/** Sentences one after the other; empty ones are left out. */
export function joinSentences(sentences: readonly string[], language: Language): string {
  return sentences.filter(Boolean).join(language === "zh" ? "" : " ");
}

export function say(text: Bilingual, language: Language): string {
  return text[language];
}
