/** The numbers of the context view for two sentences at one place. */

import { unpack, type NumberArray } from "../packed";
import { readPredictions, type Prediction } from "../prediction";
import type { ContextView, WordInSentence } from "../types";

export type Measure = "standardised" | "cosine";

export interface ContextData {
  rows: string[];
  cosines: Record<Measure, NumberArray>;
  /** The mean and the deviation of random pairs, by state. */
  baselines: Record<Measure, NumberArray>;
  difference: NumberArray;
  same(place: number, one: number, other: number): boolean;
  prediction(place: number, row: number, sentence: number): Prediction;
}

export function readContext(view: ContextView): ContextData {
  const { body } = view;
  const prediction = readPredictions(body.candidates, body.top, body.top_logprobs);
  return {
    rows: body.rows,
    cosines: { standardised: unpack(body.standardised), cosine: unpack(body.cosine) },
    baselines: { standardised: unpack(body.baseline_standardised), cosine: unpack(body.baseline_cosine) },
    difference: unpack(body.difference),
    same: (place, one, other) => body.same_prefix[place]![one]![other]!,
    prediction: (place, row, sentence) => prediction(place, row, sentence, 0),
  };
}

/** All pairs of sentences, by their numbers. */
export function pairs(count: number): [number, number][] {
  const found: [number, number][] = [];
  for (let one = 0; one < count; one++) {
    for (let other = one + 1; other < count; other++) {
      found.push([one, other]);
    }
  }
  return found;
}

/** The places at which two sentences are read, those at the same tokens together: [[0, 1], [2]] if the word is one token. */
export function differentPlaces(one: WordInSentence, other: WordInSentence): number[][] {
  const groups: number[][] = [];
  one.places.forEach((position, place) => {
    const last = groups[groups.length - 1]?.[0];
    if (last !== undefined && one.places[last] === position && other.places[last] === other.places[place]) {
      groups[groups.length - 1]!.push(place);
    } else {
      groups.push([place]);
    }
  });
  return groups;
}

/** The state in which two sentences are least similar. */
export function leastSimilar(cosines: readonly number[]): number {
  return cosines.indexOf(Math.min(...cosines));
}
