import { expect, test } from "vitest";
import { adjust, distribution, pick, softmax } from "../src/sampler";
import golden from "./sampling.json";

const TOLERANCE = 1e-4;
const rows = golden.rows.map((row) => Float64Array.from(row));

test.each(golden.cases.map((each, number) => [number, each] as const))("settings %i choose as in Python", (_, { row, settings, result }) => {
  const { uniform, repetition_penalty, ...rules } = settings;
  const logits = adjust(rows[row]!, { repetition_penalty, logit_bias: {} }, golden.prompt);
  const sampled = distribution(logits, rules);
  const place = pick(sampled, uniform);
  const near = (found: number, wanted: number) => expect(Math.abs(found - wanted)).toBeLessThan(TOLERANCE);
  expect(sampled.ids[place]).toBe(result.id);
  expect(sampled.ids.length).toBe(result.left);
  near(place > 0 ? sampled.upper[place - 1]! : 0, result.interval[0]!);
  near(sampled.upper[place]!, result.interval[1]!);
  near(sampled.probs[place]!, result.probability);
  expect(sampled.cuts.map(({ rule, kept }) => [rule, kept])).toEqual(result.cuts.map(([rule, kept]) => [rule, kept]));
  sampled.cuts.forEach(({ mass }, at) => near(mass, result.cuts[at]![2] as number));
  for (const [id, probability] of result.listed) {
    const at = sampled.place(id!);
    near(at < 0 ? 0 : sampled.probs[at]!, probability!);
    expect(sampled.cutBy(id!) !== null).toBe(at < 0 && rules.temperature > 0);
  }
});

test("logits that are minus infinity have probability 0 and no influence", () => {
  const probs = softmax(Float64Array.of(0, -Infinity, 0));
  expect([...probs]).toEqual([0.5, 0, 0.5]);
});

test("a bias moves a logit, and null is minus infinity", () => {
  const found = adjust(Float64Array.of(1, 2, 3), { repetition_penalty: 1, logit_bias: { 0: 4, 2: null } }, []);
  expect([...found]).toEqual([5, 2, -Infinity]);
});
