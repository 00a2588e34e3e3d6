import { expect, test } from "vitest";
import { follow } from "../src/followed";
import type { TrackedPrompt } from "../src/types";
import { packed } from "./packed-numbers";

const token = (id: number, text: string) => ({ id, text, bytes: [...new TextEncoder().encode(text)] });
const prompt: TrackedPrompt = {
  input: { text: "", ids: [], tokens: [] },
  candidates: [token(1, " roller"), token(2, " big"), token(3, "x"), token(4, " rol")],
  // step 0: x 0.5, " big" 0.2; step 1: " roller" 0.6, " big" 0.3
  top: packed([2, 2], [3, 2, 1, 2], "i4"),
  top_logprobs: packed([2, 2], [0.5, 0.2, 0.6, 0.3].map(Math.log)),
  tracked: [token(6, "tracked")],
  tracked_logprobs: packed([2, 1], [0.01, 0.02].map(Math.log)),
  entropy: packed([2], [1, 1]),
  truth: [{ text: " roller coaster", probability: 0.6 }, { text: " big windmill", probability: 0.4 }],
  true_tokens: [
    { token: token(1, " roller"), probability: 0.6 },
    { token: token(5, " big w"), probability: 0.4 },
  ],
};

test("only the token that the tokenizer writes is true, not every beginning of the text", () => {
  const truth = new Map(follow(prompt).rows.map((row) => [row.token.id, row.truth]));
  expect([1, 2, 4, 5].map((id) => truth.get(id))).toEqual([0.6, 0, 0, 0.4]);
  expect([...truth.values()].reduce((sum, share) => sum + share)).toBe(1);
});

test("a tracked token is known at every step, also if it was never listed", () => {
  const shares = follow(prompt).rows.find((row) => row.token.id === 6)!.shares;
  expect(shares.map((share) => share!.toFixed(2))).toEqual(["0.01", "0.02"]);
});

test("the true tokens stand first; what is not listed is not known", () => {
  const { rows, rest, best, least } = follow(prompt);
  expect(rows.map((row) => row.token.id).slice(0, 4)).toEqual([1, 5, 2, 6]);
  expect(rows[0]!.shares[0]).toBeNull();
  expect(rows[0]!.shares[1]).toBeCloseTo(0.6);
  expect(rest[0]).toBeCloseTo(0.29);
  expect(rest[1]).toBeCloseTo(0.08);
  expect(best.map(({ token: { id } }) => id)).toEqual([3, 1]);
  expect(least[0]).toBeCloseTo(0.2);
});
