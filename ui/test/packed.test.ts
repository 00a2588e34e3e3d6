import { expect, test } from "vitest";
import { unpack, type Packed } from "../src/packed";

const packed = (fields: Partial<Packed>): Packed => ({
  dtype: "f4",
  shape: [1],
  layout: "dense",
  error: 0,
  data: "",
  ...fields,
});

// The data were made with Python's struct.
test("fp32 and int32, little-endian, in C order", () => {
  const array = unpack(packed({ shape: [2, 2], data: "AADAPwAAEMAAAAAAAADAfw==" }));
  expect([...array.values]).toEqual([1.5, -2.25, 0, NaN]);
  expect(array.at(0, 1)).toBe(-2.25);
  expect([...unpack(packed({ dtype: "i4", shape: [2], data: "/////1tQAgA=" })).values]).toEqual([-1, 151643]);
});

test("fp16, with subnormal numbers and infinity", () => {
  const values = unpack(packed({ dtype: "f2", shape: [4], data: "ADz/+wEAAHw=" })).values;
  expect([...values]).toEqual([1, -65504, 2 ** -24, Infinity]);
});

test("a packed lower triangle becomes squares", () => {
  const data = "ADxmMmY6AABmNs04";
  const array = unpack(packed({ dtype: "f2", shape: [2, 2, 2], layout: "tril", data }));
  expect([...array.values].map((value) => Math.round(1000 * value) / 1000)).toEqual([1, 0, 0.2, 0.8, 0, 0, 0.4, 0.6]);
  expect(array.at(1, 1, 1)).toBeCloseTo(0.6, 3);
});
