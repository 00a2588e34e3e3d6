import { expect, test } from "vitest";
import { extent, linear, logTicks, ticks } from "../src/line-chart";

test("ticks are round and inside the range", () => {
  expect(ticks(0, 8.3, 5)).toEqual([0, 2, 4, 6, 8]);
  expect(ticks(-0.7, 0.4, 5)).toEqual([-0.5, 0]);
  expect(ticks(0, 7, 7)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(ticks(3, 3, 5)).toEqual([3]);
});

test("a logarithmic axis has 0 and the powers of ten", () => {
  expect(logTicks(2051)).toEqual([0, 1, 10, 100, 1000]);
});

test("the ends of a range come to the ends of the axis", () => {
  const place = linear([2, 4], [100, 0]);
  expect([place(2), place(3), place(4)]).toEqual([100, 50, 0]);
});

test("the axis begins at 0 if the values are near it", () => {
  expect(extent([0.5, 8])[0]).toBe(0);
  expect(extent([7, 8])[0]).toBeGreaterThan(6.9);
});
