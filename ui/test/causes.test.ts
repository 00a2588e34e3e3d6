import { expect, test } from "vitest";
import { withShape } from "../src/packed";
import { wordsInWords } from "../src/next-word";
import type { AblationView } from "../src/types";
import { headInWords } from "../src/views/ablation";
import { byKind, largestFall } from "../src/views/gradient";
import { differences, strongestCarried } from "../src/views/patching";

const array = (shape: number[], values: number[]) => withShape(shape, Float64Array.from(values));

test("a head whose removal changes nothing speaks for no token", () => {
  const [target, other] = [{ id: 1, text: " Paris", bytes: [0x20] }, { id: 2, text: " London", bytes: [0x20] }];
  const view = { body: { contrast: { target, other, value: 4.21, words: [] } } } as unknown as AblationView;
  expect(headInWords(view, 3, 1, 0.0049, "en")).toBe("Without layer 3, head 1, the difference of the logits stays +4.21.");
  expect(headInWords(view, 3, 1, -0.0049, "zh")).toBe("去掉第 3 层，第 1 头，logit 之差仍是 +4.21。");
  expect(headInWords(view, 3, 1, -0.5, "en")).toContain("this head speaks for “·Paris”");
  expect(headInWords(view, 3, 1, 0.5, "zh")).toContain("这个头支持“·London”");
});

test("a word that was given is named with the token that it means", () => {
  const word = { given: "Paris", text: " Paris", token: { id: 1, text: " Paris", bytes: [0x20] }, tokens: 1 };
  expect(wordsInWords([word], "en")).toBe("“Paris” is read as the token “·Paris”.");
  expect(wordsInWords([{ ...word, tokens: 3 }], "zh")).toBe("“Paris”在这里有 3 个 token，只看第一个：“·Paris”。");
  expect(wordsInWords([], "en")).toBe("");
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
