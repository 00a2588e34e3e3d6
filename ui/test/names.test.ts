import { expect, test } from "vitest";
import { isSpecial, joinedText, nameTokens, rowNames } from "../src/names";

const bytes = (text: string) => [...new TextEncoder().encode(text)];
const token = (text: string) => ({ text, bytes: bytes(text) });
const part = (...part: number[]) => ({ text: "\ufffd", bytes: part });
const [first, second, third] = bytes("刚") as [number, number, number];

test("a character that is split over tokens is shown whole at each of them", () => {
  const tokens = [token("金"), part(first, second), part(third), token("。")];
  expect(rowNames(tokens)).toEqual(["金", "刚 1/2", "刚 2/2", "。"]);
  expect(joinedText(tokens)).toBe("金刚。");
});

test("bytes that are no text in any company stay as they are", () => {
  expect(rowNames([part(0xff), token("a")])).toEqual(["\ufffd", "a"]);
  expect(rowNames([part(first)])).toEqual(["\ufffd"]);
});

test("a special token ends a character and adds nothing to the text", () => {
  const end = { text: "<|im_end|>", bytes: [] };
  expect(nameTokens([part(first, second), end, part(third)]).map(({ part: parts }) => parts[1])).toEqual([1, 1, 1]);
  expect(isSpecial(end)).toBe(true);
  expect(joinedText([token("a"), end])).toBe("a");
});

test("characters that act instead of being shown are written by their numbers", () => {
  expect(rowNames([token("\u202e"), token(" \n")])).toEqual(["<U+202E>", "·⏎"]);
});
