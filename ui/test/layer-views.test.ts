import { expect, test } from "vitest";
import { textWidth } from "../src/text";
import type { WordInSentence } from "../src/types";
import { placeName } from "../src/views/context-places";
import { differentPlaces, leastSimilar, pairs } from "../src/views/context-data";
import { fit, labelOrder, type MapPoint } from "../src/views/vectors-data";

const at = (...places: [number, number, number]) => ({ places }) as unknown as WordInSentence;

test("places at the same tokens are shown once", () => {
  expect(differentPlaces(at(4, 4, 7), at(4, 4, 9))).toEqual([[0, 1], [2]]);
  expect(differentPlaces(at(1, 2, 5), at(1, 1, 5))).toEqual([[0], [1], [2]]);
  expect(differentPlaces(at(3, 3, 3), at(3, 3, 3))).toEqual([[0, 1, 2]]);
});

test("the name of joined places", () => {
  expect(placeName([0, 1], "en")).toBe("The word (one token)");
  expect(placeName([0, 1, 2], "en")).toBe("The word (one token) and end of the sentence");
  expect(placeName([1, 2], "zh")).toBe("词的最后一个 token，也是句末");
});

test("all pairs of sentences", () => {
  expect(pairs(3)).toEqual([
    [0, 1],
    [0, 2],
    [1, 2],
  ]);
});

test("the least similar state", () => {
  expect(leastSimilar([1, 0.2, 0.5])).toBe(1);
});

test("a map keeps the proportions of distances and stays inside its frame", () => {
  const points = [
    { x: 0, y: 0 },
    { x: 4, y: 0 },
    { x: 0, y: 2 },
  ];
  const frame = fit(points, 440, 20, 500);
  expect(frame.height).toBe(240);
  expect(frame.place(points[0]!)).toEqual({ x: 20, y: 220 });
  expect(frame.place(points[2]!)).toEqual({ x: 20, y: 20 });
});

test("a map of one point is finite", () => {
  expect(fit([{ x: 1, y: 1 }], 100, 20, 100)).toMatchObject({ height: 40 });
});

test("Chinese characters are as wide as they are high", () => {
  expect(textWidth("金a", 10)).toBeCloseTo(16.2);
});

test("labels: the chosen token first, then the text, then its neighbours", () => {
  const point = (index: number, vector: number | null): MapPoint => ({ index, name: "", vector, x: 0, y: 0 });
  const points = [point(0, 0), point(1, 1), point(2, null), point(3, null)];
  expect(labelOrder(points, 1, [3]).map((each) => each.index)).toEqual([1, 0, 3, 2]);
});
