/** How tokens, texts and numbers are written. */

import type { Bilingual, Language } from "./draw";

/** Characters that control a terminal or the direction of text, as in `liuli/display.py`. They are shown by their numbers. */
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
/** Characters of which a reader would see nothing, or only white space. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Z}]/u;
const SIGNS: Record<string, string> = { " ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍" };
const SIGNS_THEMSELVES = Object.values(SIGNS);

/**
 * A text on one line, exactly as `visible` in `liuli/display.py` writes it: spaces and line breaks as signs, other characters
 * that cannot be seen by their numbers.
 *
 * @param bytes that `text` was decoded from, if they are known. Then the bytes of a broken character are shown as numbers.
 */
export function visible(text: string, bytes: readonly number[] = []): string {
  if (bytes.length > 0 && text.includes("\ufffd")) {
    return decodeByCharacter(bytes);
  }
  return [...text].map(visibleCharacter).join("");
}

function visibleCharacter(character: string): string {
  const hidden = UNSEEN.test(character) || SIGNS_THEMSELVES.includes(character);
  return SIGNS[character] ?? (hidden ? codePoint(character) : character);
}

/** A text in which only characters that act instead of being shown are replaced. */
export function shownText(text: string): string {
  return text.replace(CONTROLS, (character) => (character === "\n" || character === "\t" ? character : codePoint(character)));
}

function codePoint(character: string): string {
  return `<U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}>`;
}

/** The name of a token of a passage: a part of a character as the character and which part it is. */
export function passageTokenName(token: { shown: string; part: number[]; bytes: readonly number[] }): string {
  const [part = 0, parts = 1] = token.part;
  return parts > 1 ? `${visible(token.shown)}(${part + 1}/${parts})` : visible(token.shown, token.bytes) || "∅";
}

/** The name of a token of the vocabulary: bytes that are only a part of a character as numbers. */
export function tokenName(token: { text: string; bytes: readonly number[] }): string {
  return visible(token.text, token.bytes) || "∅";
}

/** Bytes as numbers: E9 87 91. */
export function hexBytes(bytes: readonly number[]): string {
  return bytes.map(hexByte).join(" ");
}

function hexByte(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, "0");
}

function decodeByCharacter(bytes: readonly number[]): string {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const size = [4, 3, 2, 1].find((each) => isOneCharacter(bytes.slice(at, at + each)));
    text += size ? visible(decode(bytes.slice(at, at + size))) : `<${hexByte(bytes[at]!)}>`;
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
  return `${fixed(100 * share, share < 0.0995 ? 2 : 1)}%`;
}

/** A number with as many significant digits as help to compare it. */
export function number(value: number, digits = 3): string {
  if (!Number.isFinite(value)) {
    return "–";
  }
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4)) {
    return minus(value.toExponential(digits - 1));
  }
  return minus(Number(value.toPrecision(digits)).toLocaleString("en-US", { maximumFractionDigits: 6 }));
}

/** A number with so many decimals. */
export function fixed(value: number, decimals: number): string {
  if (!Number.isFinite(value)) {
    return "–";
  }
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? text.replace("-", "") : minus(text);
}

/** A change with its sign; the same number of decimals for all, so that columns can be compared. */
export function signed(value: number | null, decimals = 2): string {
  const text = fixed(value ?? NaN, decimals);
  return /^\d/.test(text) ? `+${text}` : text;
}

function minus(text: string): string {
  return text.replace(/^-/, "−");
}

/** Sentences one after the other; empty ones are left out. */
export function joinSentences(sentences: readonly string[], language: Language): string {
  return sentences.filter(Boolean).join(language === "zh" ? "" : " ");
}

export function say(text: Bilingual, language: Language): string {
  return text[language];
}

/** A wide character, such as a Chinese one. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const NARROW = 0.62; // of the size of the letters: the width of a letter in the font of tokens

/** The width of a text in pixels, estimated: a wide character is as wide as the letters are high. */
export function textWidth(text: string, size: number): number {
  return [...text].reduce((sum, character) => sum + size * (WIDE.test(character) ? 1 : NARROW), 0);
}
