/** The numbers of the lens by position and state. */

import { unpack, type NumberArray } from "../packed";
import { tokenName } from "../text";
import type { LensView } from "../types";

export interface Prediction {
  name: string;
  probability: number;
}

/** A token that is followed through the layers after one position. Ranks begin with 1. */
export interface Followed {
  name: string;
  probabilities: number[];
  ranks: number[];
  /** The first state from which on it is the most likely token in every state; null if the model predicts another one. */
  leadsFrom: number | null;
}

export interface LensData {
  rows: string[];
  positions: number[];
  /** The most likely tokens at a position and state, the most likely first. */
  predictions(position: number, row: number): Prediction[];
  entropy: NumberArray;
  divergence: NumberArray;
  /** The first state from which on the model's own prediction after a position is the most likely token. */
  leadsFrom(position: number): number;
  /** The model's own prediction after a position, then the tracked tokens. */
  followed(position: number): Followed[];
}

export function readLens(view: LensView): LensData {
  const { body } = view;
  const names = new Map(body.candidates.map((token) => [token.id, tokenName(token)]));
  const top = unpack(body.top);
  const topLogprobs = unpack(body.top_logprobs);
  const logprobs = unpack(body.logprobs);
  const ranks = unpack(body.ranks);
  const finalLogprobs = unpack(body.final_logprobs);
  const finalRanks = unpack(body.final_ranks);
  const count = top.shape[2]!;
  const last = body.rows.length - 1;
  const overRows = (value: (row: number) => number) => body.rows.map((_, row) => value(row));
  const follow = (name: string, probabilities: number[], placeRanks: number[]): Followed => ({
    name,
    probabilities: probabilities.map(Math.exp),
    ranks: placeRanks.map((rank) => rank + 1),
    leadsFrom: leadsFrom(placeRanks),
  });
  return {
    rows: body.rows,
    positions: body.positions,
    entropy: unpack(body.entropy),
    divergence: unpack(body.divergence),
    predictions: (p, row) =>
      Array.from({ length: count }, (_, c) => ({
        name: names.get(top.at(p, row, c))!,
        probability: Math.exp(topLogprobs.at(p, row, c)),
      })),
    leadsFrom: (p) => leadsFrom(overRows((row) => finalRanks.at(p, row))) ?? last,
    followed: (p) => {
      const own = top.at(p, last, 0);
      const tracked = body.tracked.map((token, k) => ({ token, k })).filter(({ token }) => token.id !== own);
      return [
        follow(names.get(own)!, overRows((row) => finalLogprobs.at(p, row)), overRows((row) => finalRanks.at(p, row))),
        ...tracked.map(({ token, k }) =>
          follow(tokenName(token), overRows((row) => logprobs.at(p, row, k)), overRows((row) => ranks.at(p, row, k))),
        ),
      ];
    },
  };
}

/** The first place from which on all ranks are 0; null if the last one is not. */
export function leadsFrom(ranks: readonly number[]): number | null {
  let first = ranks.length;
  while (first > 0 && ranks[first - 1] === 0) {
    first--;
  }
  return first === ranks.length ? null : first;
}
