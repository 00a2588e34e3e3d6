import { expect, test } from "vitest";
import { isSpecial, joinedText, nameTokens, rowNames } from "../src/names";
import { tokenName, visible } from "../src/text";
import golden from "./names.json"; // written by tests/ui/test_names_golden.py

const bytes = (text: string) => [...new TextEncoder().encode(text)];
const token = (text: string) => ({ text, bytes: bytes(text) });
const part = (...part: number[]) => ({ text: "\ufffd", bytes: part });
const [first, second, third] = bytes("刚") as [number, number, number];

test.each(golden.visible)("$visible is written as in Python", ({ text, bytes: data, visible: wanted }) => {
  expect(visible(text, data)).toBe(wanted);
});

test.each(golden.rows)("the tokens of a text have the names that Python gives them: $names", ({ tokens, names }) => {
  expect(rowNames(tokens)).toEqual(names);
});

test("a character that is split over tokens is shown whole at each of them", () => {
  const tokens = [token("金"), part(first, second), part(third), token("。")];
  expect(rowNames(tokens)).toEqual(["金", "刚(1/2)", "刚(2/2)", "。"]);
  expect(joinedText(tokens)).toBe("金刚。");
});

test("bytes that are no text in any company are shown as numbers", () => {
  expect(rowNames([part(0xff), token("a")])).toEqual(["<FF>", "a"]);
  expect(rowNames([part(first)])).toEqual(["<E5>"]);
});

test("a special token ends a character and adds nothing to the text", () => {
  const end = { text: "<|im_end|>", bytes: [] };
  expect(nameTokens([part(first, second), end, part(third)]).map(({ part: parts }) => parts[1])).toEqual([1, 1, 1]);
  expect(isSpecial(end)).toBe(true);
  expect(joinedText([token("a"), end])).toBe("a");
});

test("a token of the vocabulary without text has a name too", () => {
  expect(tokenName({ text: "", bytes: [] })).toBe("∅");
  expect(tokenName({ text: "<s>", bytes: [] })).toBe("<s>");
});
