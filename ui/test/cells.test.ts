import { expect, test } from "vitest";
import { everyNth, largest, squareSide } from "../src/cells";

test("the area of a square is the share", () => {
  expect(squareSide(1)).toBe(1);
  expect(squareSide(-0.25)).toBe(0.5);
  expect(squareSide(7)).toBe(1);
});

test("small shares can be seen, and rounding errors are not drawn", () => {
  expect(squareSide(0.002)).toBe(0.12);
  expect(squareSide(1e-7)).toBe(0);
  expect(squareSide(NaN)).toBe(0);
});

test("at most 12 columns have names", () => {
  expect([1, 12, 13, 24, 64].map(everyNth)).toEqual([1, 1, 2, 2, 6]);
});

test("values that are no numbers do not count", () => {
  expect(largest([NaN, -3, 2])).toBe(3);
  expect(largest([])).toBe(0);
});
