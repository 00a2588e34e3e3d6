import { expect, test } from "vitest";
import { labelledRows, layerName, shortLayerName } from "../src/layers";
import { extent, floorTo, linearScale, logScale, rankScale, roundTicks } from "../src/scale";

test("a linear scale places its ends at 0 and 1 and clamps what is outside", () => {
  const scale = linearScale(-0.5, 1, [0], String);
  expect([-0.5, 0.25, 1, 2].map(scale.place)).toEqual([0, 0.5, 1, 1]);
});

test("rank 1 is at the top, the worst rank at the bottom, and ticks are powers of ten", () => {
  const scale = rankScale(1000);
  expect(scale.place(1)).toBe(1);
  expect(scale.place(1000)).toBeCloseTo(0, 12);
  expect(scale.place(100)).toBeCloseTo(1 / 3, 12);
  expect(scale.ticks.map((tick) => tick.text)).toEqual(["1", "10", "100", "1,000"]);
});

test("a scale of ranks that are all 1 is finite", () => {
  expect(rankScale(1).place(1)).toBe(1);
});

test("floorTo does not fall by a whole step because of rounding", () => {
  expect(floorTo(0.25, [0.3, -0.1])).toBe(-0.25);
  expect(floorTo(0.1, [0.3])).toBeCloseTo(0.3, 12);
});

test("labels of layers: all if they fit, otherwise the first, the last and some between at equal distances", () => {
  expect(labelledRows(6, 9)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(labelledRows(25, 9)).toEqual([0, 3, 6, 9, 12, 15, 18, 21, 24]);
  const rows = labelledRows(30, 9);
  expect(rows[0]).toBe(0);
  expect(rows.at(-1)).toBe(29);
  expect(rows.length).toBeLessThanOrEqual(9);
});

test("names of layers", () => {
  const rows = ["embedding", "0", "1"];
  expect(layerName(rows, 0, "en")).toBe("embedding");
  expect(layerName(rows, 2, "en")).toBe("layer 1");
  expect(layerName(rows, 2, "zh")).toBe("第 1 层");
  expect(shortLayerName(rows, 0, "zh")).toBe("嵌入");
});

test("ticks are round and inside the range", () => {
  expect(roundTicks(0, 8.3, 5)).toEqual([0, 2, 4, 6, 8]);
  expect(roundTicks(-0.7, 0.4, 5)).toEqual([-0.5, 0]);
  expect(roundTicks(0, 7, 7)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(roundTicks(3, 3, 5)).toEqual([3]);
});

test("a logarithmic axis has 0 and the powers of ten", () => {
  const scale = logScale(2051);
  expect(scale.ticks.map(({ text }) => text)).toEqual(["0", "1", "10", "100", "1,000"]);
  expect([0, 2051].map(scale.place)).toEqual([0, 1]);
  expect(logScale(0).place(0)).toBe(0);
});

test("the axis begins at 0 if the values are near it", () => {
  expect(extent([0.5, 8])[0]).toBe(0);
  expect(extent([7, 8])[0]).toBeGreaterThan(6.9);
});
