/** The names of tokens that are in no passage: candidates, continuations, and what each model of a comparison read. */

import { passageTokenName } from "./text";

export interface PlainToken {
  text: string;
  bytes: number[];
}

/** A token in a row: as in a passage, a part of a character is shown as the whole character and which part it is. */
export interface NamedToken {
  shown: string;
  part: [number, number];
  bytes: number[];
  special: boolean;
}

const MOST_PARTS = 8; // tokens that one character, or a few joined ones, can consist of

/** Whether a token adds nothing to the text: an end of text, a marker of a chat template. */
export function isSpecial(token: PlainToken): boolean {
  return token.bytes.length === 0;
}

/** The text of tokens, without special ones. Bytes that are no text become U+FFFD. */
export function joinedText(tokens: readonly PlainToken[]): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(tokens.flatMap((token) => token.bytes)));
}

/** Names a row of tokens, so that a character that is split over several is shown whole at each of them. */
export function nameTokens(tokens: readonly PlainToken[]): NamedToken[] {
  const named: NamedToken[] = [];
  let at = 0;
  while (at < tokens.length) {
    const count = tokensOfCharacter(tokens, at);
    const group = tokens.slice(at, at + count);
    const shown = count > 1 ? joinedText(group) : group[0]!.text;
    group.forEach((token, k) => named.push({ shown, part: [k, count], bytes: token.bytes, special: isSpecial(token) }));
    at += count;
  }
  return named;
}

/** The names of a row of tokens, as they are written. */
export function rowNames(tokens: readonly PlainToken[]): string[] {
  return nameTokens(tokens).map(passageTokenName);
}

/** How many tokens from `at` on are text together; 1 if no number of them is. */
function tokensOfCharacter(tokens: readonly PlainToken[], at: number): number {
  for (let count = 1; count <= MOST_PARTS && at + count <= tokens.length; count++) {
    const group = tokens.slice(at, at + count);
    if (count > 1 && isSpecial(group[count - 1]!)) {
      return 1;
    }
    if (isText(group)) {
      return count;
    }
  }
  return 1;
}

function isText(tokens: readonly PlainToken[]): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(tokens.flatMap((token) => token.bytes)));
    return true;
  } catch {
    return false;
  }
}
