/**
 * From logits to a token, as `liuli/generate/sampling.py` does it: penalties, logit bias, temperature, top-k, top-p, min-p, and
 * the token whose interval on the line from 0 to 1 holds the random number. If two entries tie, the lower id comes first.
 */

export interface Settings {
  temperature: number;
  top_k: number;
  top_p: number;
  min_p: number;
}

export type CutRule = "top_k" | "top_p" | "min_p";

export interface Cut {
  rule: CutRule;
  /** How many ids it kept. */
  kept: number;
  /** The probability that it removed, in the distribution before it. */
  mass: number;
}

export interface Sampled {
  /** The ids that are left, ascending, and their probabilities. */
  ids: Int32Array;
  probs: Float64Array;
  /** The upper bound of each one's interval; the lower bound is the one before. */
  upper: Float64Array;
  cuts: Cut[];
  /** The rule that removed an id; null if it is left, or if the greedy choice did not take it. */
  cutBy(id: number): CutRule | null;
  /** Where an id stands among those that are left; −1 if it was removed. */
  place(id: number): number;
}

/** Logits after the penalties and the bias. The completion is empty, so only the repetition penalty acts. */
export function adjust(
  logits: Float64Array,
  { repetition_penalty, logit_bias }: { repetition_penalty: number; logit_bias: Record<string, unknown> },
  prompt: readonly number[],
): Float64Array {
  const adjusted = logits.slice();
  for (const id of new Set(prompt)) {
    adjusted[id]! = adjusted[id]! > 0 ? adjusted[id]! / repetition_penalty : adjusted[id]! * repetition_penalty;
  }
  for (const [id, bias] of Object.entries(logit_bias)) {
    adjusted[Number(id)]! += bias === null ? -Infinity : Number(bias); // JSON has no infinity
  }
  return adjusted;
}

export function softmax(logits: Float64Array): Float64Array {
  const top = logits.reduce((one, other) => Math.max(one, other), -Infinity);
  const probs = logits.map((logit) => Math.exp(logit - top));
  const total = probs.reduce((sum, each) => sum + each, 0);
  return probs.map((each) => each / total);
}

/** The distribution from which a token is sampled. Temperature 0 leaves the likeliest one. */
export function distribution(logits: Float64Array, settings: Settings): Sampled {
  const ranked = ranking(logits);
  const greedy = settings.temperature === 0;
  const probs = greedy ? oneHot(logits.length, ranked[0]!) : softmax(logits.map((logit) => logit / settings.temperature));
  const removedBy = new Array<CutRule | null>(logits.length).fill(null);
  const cuts: Cut[] = [];
  let left = ranked; // the likeliest first

  function keep(rule: CutRule, count: number): void {
    const removed = left.subarray(count);
    for (const id of removed) {
      probs[id] = 0;
      removedBy[id] = rule;
    }
    const total = probs.reduce((sum, each) => sum + each, 0);
    for (const id of left) {
      probs[id]! /= total;
    }
    left = left.subarray(0, count);
    cuts.push({ rule, kept: count, mass: removed.length === 0 ? 0 : Math.max(0, 1 - total) });
  }

  if (greedy) {
    return result(probs, ranked.subarray(0, 1), cuts, removedBy);
  }
  if (settings.top_k > 0 && settings.top_k < left.length) {
    keep("top_k", settings.top_k);
  }
  if (settings.top_p < 1) {
    keep("top_p", topP(probs, left, settings.top_p));
  }
  if (settings.min_p > 0) {
    const least = settings.min_p * probs[left[0]!]!;
    const firstBelow = left.findIndex((id) => probs[id]! < least);
    keep("min_p", firstBelow < 0 ? left.length : firstBelow);
  }
  return result(probs, left, cuts, removedBy);
}

/** The place of the entry whose interval holds `uniform`. */
export function pick({ upper }: Sampled, uniform: number): number {
  let [low, high] = [0, upper.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (upper[middle]! > uniform) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

const rankings = new WeakMap<Float64Array, Int32Array>(); // a slider needs the same one many times

/** Ids in order of their logits, the largest first; of equals, the lower id first. */
export function ranking(logits: Float64Array): Int32Array {
  let found = rankings.get(logits);
  if (!found) {
    found = Int32Array.from(logits.keys()).sort((one, other) => logits[other]! - logits[one]! || one - other);
    rankings.set(logits, found);
  }
  return found;
}

/** How many of the largest probabilities together reach `p`; the one that crosses is counted. */
function topP(probs: Float64Array, left: Int32Array, p: number): number {
  let count = 0;
  for (let reached = 0; count < left.length && reached < p; count++) {
    reached += probs[left[count]!]!;
  }
  return Math.max(1, count);
}

function oneHot(length: number, id: number): Float64Array {
  const probs = new Float64Array(length);
  probs[id] = 1;
  return probs;
}

function result(probs: Float64Array, left: Int32Array, cuts: Cut[], removedBy: (CutRule | null)[]): Sampled {
  const ids = left.slice().sort();
  const kept = Float64Array.from(ids, (id) => probs[id]!);
  const places = new Int32Array(probs.length).fill(-1);
  const upper = new Float64Array(ids.length);
  let reached = 0;
  ids.forEach((id, at) => {
    places[id] = at;
    upper[at] = reached += kept[at]!;
  });
  return {
    ids,
    probs: kept,
    upper: upper.map((each) => each / reached),
    cuts,
    cutBy: (id) => removedBy[id] ?? null,
    place: (id) => places[id] ?? -1,
  };
}
