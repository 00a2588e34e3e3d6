import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { makeTypes } from "../types.mjs";

test("the types are those of the schemas", () => {
  expect(readFileSync(new URL("../src/types.ts", import.meta.url), "utf8")).toBe(makeTypes());
});
