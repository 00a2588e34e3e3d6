import { expect, test } from "vitest";
import { treeOf } from "../src/merges";
import { tokenName } from "../src/text";
import type { Chunk } from "../src/types";

const token = (id: number, ...bytes: number[]) => ({ id, text: "�", bytes });
const gold = [0xe9, 0x87, 0x91]; // 金
const [first, second, third] = gold.map((byte, at) => token(at, byte)) as [ReturnType<typeof token>, ReturnType<typeof token>, ReturnType<typeof token>];
const pair = token(10, 0xe9, 0x87);
const whole = token(11, ...gold);

test("merges become a tree: who is a part of whom, and from which step to which", () => {
  const chunk: Chunk = {
    text: "金", span: [0, 1], ids: [11], symbols: [first, second, third], matches: [],
    joins: [
      { at: 0, rank: 4, left: first, right: second, result: pair },
      { at: 0, rank: 9, left: pair, right: third, result: whole },
    ],
  };
  const { leaves, pieces, steps } = treeOf(chunk);
  expect(leaves.map(({ name, gone }) => [name, gone])).toEqual([["<E9>", 1], ["<87>", 1], ["<91>", 2]]);
  expect(steps.map(({ piece, rank }) => [piece.name, piece.level, piece.born, piece.gone, rank])).toEqual([
    ["<E9><87>", 1, 1, 2, 4],
    ["金", 2, 2, Infinity, 9],
  ]);
  expect(pieces.filter(({ gone }) => gone === Infinity).map(({ first, last }) => [first, last])).toEqual([[0, 2]]);
});

test("matches of WordPiece take characters from left to right", () => {
  const chunk: Chunk = {
    text: "unaffable", span: [0, 9], ids: [1, 2], symbols: [], joins: [],
    matches: [
      { start: 0, end: 2, piece: { id: 1, text: "un", bytes: [117, 110] } },
      { start: 2, end: 9, piece: { id: 2, text: "##affable", bytes: [] } },
    ],
  };
  const { leaves, steps } = treeOf(chunk);
  expect(leaves).toHaveLength(9);
  expect(steps.map(({ piece }) => [piece.name, piece.first, piece.last])).toEqual([["un", 0, 1], ["##affable", 2, 8]]);
});

test("a piece is named by its text, or by its bytes if they are no text", () => {
  expect(tokenName(whole)).toBe("金");
  expect(tokenName(pair)).toBe("<E9><87>");
  expect(tokenName({ text: "<|endoftext|>", bytes: [] })).toBe("<|endoftext|>");
  expect(tokenName({ text: " \u202e", bytes: [...new TextEncoder().encode(" \u202e")] })).toBe("·<U+202E>");
});
