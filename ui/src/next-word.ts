/** Which token a word means that the reader gave as the next word. */

import type { Language } from "./draw";
import { joinSentences, say, tokenName, visible } from "./text";
import type { NextWord } from "./types";

/** A sentence for each word; "" if there are none. */
export function wordsInWords(words: readonly NextWord[], language: Language): string {
  return joinSentences(words.map((word) => wordInWords(word, language)), language);
}

function wordInWords({ given, token, tokens }: NextWord, language: Language): string {
  const [word, name] = [visible(given), tokenName(token)];
  return say(
    tokens === 1
      ? { en: `“${word}” is read as the token “${name}”.`, zh: `“${word}”按 token“${name}”来读。` }
      : {
          en: `“${word}” has ${tokens} tokens here, and only the first one is followed: “${name}”.`,
          zh: `“${word}”在这里有 ${tokens} 个 token，只看第一个：“${name}”。`,
        },
    language,
  );
}
