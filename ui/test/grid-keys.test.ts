import { expect, test } from "vitest";
import { afterKey, afterSliderKey } from "../src/grid-keys";

test("arrow keys move by one cell and stop at the edges; Home and End go to the ends of a row", () => {
  expect(afterKey("ArrowDown", { row: 0, column: 1 }, 2, 3)).toEqual({ row: 1, column: 1 });
  expect(afterKey("ArrowDown", { row: 1, column: 1 }, 2, 3)).toEqual({ row: 1, column: 1 });
  expect(afterKey("Home", { row: 1, column: 2 }, 2, 3)).toEqual({ row: 1, column: 0 });
  expect(afterKey("End", { row: 1, column: 0 }, 2, 3)).toEqual({ row: 1, column: 2 });
  expect(afterKey("a", { row: 1, column: 0 }, 2, 3)).toBeNull();
});

test("a slider's keys stay within its places, and up is forward", () => {
  const found = ["ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft", "Home", "End", "a"].map((key) => afterSliderKey(key, 3, 5));
  expect(found).toEqual([4, 4, 2, 2, 0, 4, null]);
  expect(afterSliderKey("ArrowUp", 4, 5)).toBe(4);
});
