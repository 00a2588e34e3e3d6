import { expect, test } from "vitest";
import { withShape } from "../src/packed";
import { strongest } from "../src/views/ablation";
import { byKind, largestFall } from "../src/views/gradient";
import { differences, strongestCarried } from "../src/views/patching";

const array = (shape: number[], values: number[]) => withShape(shape, Float64Array.from(values));

test("the strongest parts have the largest changes, whatever their sign", () => {
  const heads = array([2, 2], [0.1, -0.5, 0.2, 0]);
  const parts = strongest(heads, array([2], [-0.9, 0]), array([2], [0, 0.3]), 3);
  expect(parts).toEqual([
    { layer: 0, head: null, change: -0.9 },
    { layer: 0, head: 1, change: -0.5 },
    { layer: 1, change: 0.3 },
  ]);
});

test("the embedding of the token that differs restores everything, so it is not the state that is shown first", () => {
  const restored = array([3, 2], [1, 0, 0.6, 0.4, 0.1, 0.9]);
  expect(strongestCarried(restored, new Set([0]))).toEqual([1, 2]);
});

test("texts are compared token by token", () => {
  const passage = (ids: number[]) => ({ text: "", ids, tokens: [] });
  expect([...differences(passage([0, 7, 2]), passage([0, 8, 2]))]).toEqual([1]);
});

test("weights of the blocks are found by kind and layer; others are left out", () => {
  const numbers = { shape: [2], gradient: 1, change: 1, size: 1, share: 0.1 };
  const move = (name: string, layer: number | null) => ({ ...numbers, name, layer });
  const moves = [move("norm.weight", null), move("blocks.1.attention.q.weight", 1), move("blocks.0.attention.k.bias", 0)];
  const table = byKind(moves);
  expect(table.kinds).toEqual(["attention.k.bias", "attention.q"]);
  expect(table.layers).toBe(2);
  expect(table.at(1, 1)?.name).toBe("blocks.1.attention.q.weight");
  expect(table.at(1, 0)).toBeUndefined();
});

test("without a choice, the place is shown at which the loss falls most", () => {
  expect(largestFall(array([3], [0.2, 3.5, 4]), array([3], [0.3, 0.1, 3.9]))).toBe(1);
});
