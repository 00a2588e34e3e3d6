import { expect, test } from "vitest";
import { follow, truthOf } from "../src/followed";
import type { TrackedPrompt } from "../src/types";
import { packed } from "./packed-numbers";

const token = (id: number, text: string) => ({ id, text, bytes: [...new TextEncoder().encode(text)] });
const prompt: TrackedPrompt = {
  input: { text: "", ids: [], tokens: [] },
  candidates: [token(1, " roller"), token(2, " big"), token(3, "x")],
  // step 0: x 0.5, " big" 0.2; step 1: " roller" 0.6, " big" 0.3
  top: packed([2, 2], [3, 2, 1, 2], "i4"),
  top_logprobs: packed([2, 2], [0.5, 0.2, 0.6, 0.3].map(Math.log)),
  entropy: packed([2], [1, 1]),
  truth: [{ text: " roller coaster", probability: 0.6 }, { text: " big windmill", probability: 0.4 }],
};

test("a token is true if a piece begins with it", () => {
  expect(truthOf(token(1, " roller"), prompt.truth)).toBe(0.6);
  expect(truthOf(token(3, "roller"), prompt.truth)).toBe(0);
  expect(truthOf({ id: 0, text: "", bytes: [] }, prompt.truth)).toBe(0);
});

test("the true tokens stand first; what is not listed is not known", () => {
  const { rows, rest, best, least } = follow(prompt);
  expect(rows.map((row) => row.token.id)).toEqual([1, 2, 3]);
  expect(rows[0]!.shares[0]).toBeNull();
  expect(rows[0]!.shares[1]).toBeCloseTo(0.6);
  expect(rest[0]).toBeCloseTo(0.3);
  expect(rest[1]).toBeCloseTo(0.1);
  expect(best.map(({ token: { id } }) => id)).toEqual([3, 1]);
  expect(least[0]).toBeCloseTo(0.2);
});
