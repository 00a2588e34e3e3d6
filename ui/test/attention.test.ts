import { expect, test } from "vitest";
import { withShape } from "../src/packed";
import {
  largestRead,
  readOf,
  strongestHeads,
  trianglePaths,
  triangleStart,
  type AttentionData,
} from "../src/views/attention-data";

const none = withShape([1, 2], Float64Array.of(NaN, NaN));
const weights = withShape([2, 2, 2], Float64Array.of(1, 0, 0.75, 0.25, 1, 0, 0.5, 0.5));
const sizes = withShape([2, 2], Float64Array.of(0.1, 4, 0.2, 1));
const data: AttentionData = {
  layers: 1,
  heads: 2,
  tokens: 2,
  layer: 0,
  habits: { first: none, previous: none, itself: none, induction: none, entropy: none },
  weight: weights.at,
  size: sizes.at,
};

test("a read is its weight, or its weight times the size of the value", () => {
  expect(readOf(data, { measure: "weight", hideFirst: false }, 0, 1, 1)).toBe(0.25);
  expect(readOf(data, { measure: "size", hideFirst: false }, 0, 1, 1)).toBe(1);
  expect(readOf(data, { measure: "weight", hideFirst: true }, 0, 1, 0)).toBe(0);
});

test("the full colour is a weight of 1 unless the first token is hidden or sizes count", () => {
  expect(largestRead(data, { measure: "weight", hideFirst: false })).toBe(1);
  expect(largestRead(data, { measure: "weight", hideFirst: true })).toBe(0.5);
  expect(largestRead(data, { measure: "size", hideFirst: false })).toBe(1);
});

test("of a long text, the triangles have the last tokens", () => {
  expect(triangleStart(data)).toBe(0);
  expect(triangleStart({ ...data, tokens: 96 })).toBe(0);
  expect(triangleStart({ ...data, tokens: 500 })).toBe(404);
});

test("the strongest heads come first, and unknown ones are left out", () => {
  const values = withShape([2, 2], Float64Array.of(0.1, NaN, 0.9, 0.4));
  expect(strongestHeads(values, 2)).toEqual([
    { layer: 1, head: 0, value: 0.9 },
    { layer: 1, head: 1, value: 0.4 },
  ]);
});

test("cells of one level that are next to each other are one rectangle", () => {
  expect(trianglePaths(3, 2, () => 1)).toEqual(["", "M0 0h1v1h-1zM0 1h2v1h-2zM0 2h3v1h-3z"]);
  const shares = [[0], [0, 1], [1, 0, 1]];
  expect(trianglePaths(3, 1, (row, column) => shares[row]![column]!)).toEqual(["M1 1h1v1h-1zM0 2h1v1h-1zM2 2h1v1h-1z"]);
});

test("every cell of a triangle is in the path of its level; cells of almost nothing are in none", () => {
  const shares = [[1], [0.5, 0.01]];
  expect(trianglePaths(2, 2, (row, column) => shares[row]![column]!)).toEqual(["M0 1h1v1h-1z", "M0 0h1v1h-1z"]);
});
