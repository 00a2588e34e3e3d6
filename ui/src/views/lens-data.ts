/** The numbers of the lens by position and state. */

import { unpack, type NumberArray } from "../packed";
import { readPredictions, type Prediction } from "../prediction";
import { tokenName } from "../text";
import type { LensView } from "../types";

/** A token that is followed through the layers after one position. Ranks begin with 1. */
export interface TrackedToken {
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
  followed(position: number): TrackedToken[];
}

export function readLens(view: LensView): LensData {
  const { body } = view;
  const prediction = readPredictions(body.candidates, body.top, body.top_logprobs);
  const logprobs = unpack(body.logprobs);
  const ranks = unpack(body.ranks);
  const leads = unpack(body.leads_from);
  const finalLogprobs = unpack(body.final_logprobs);
  const finalRanks = unpack(body.final_ranks);
  const finalLeads = unpack(body.final_leads_from);
  const count = body.top.shape[2]!;
  const last = body.rows.length - 1;
  const overRows = (value: (row: number) => number) => body.rows.map((_, row) => value(row));
  const ownToken = (p: number): TrackedToken => ({
    name: prediction(p, last, 0).name,
    probabilities: overRows((row) => Math.exp(finalLogprobs.at(p, row))),
    ranks: overRows((row) => finalRanks.at(p, row) + 1),
    leadsFrom: finalLeads.at(p),
  });
  const trackedToken = (p: number, k: number): TrackedToken => ({
    name: tokenName(body.tracked[k]!),
    probabilities: overRows((row) => Math.exp(logprobs.at(p, row, k))),
    ranks: overRows((row) => ranks.at(p, row, k) + 1),
    leadsFrom: leads.at(k, p) < 0 ? null : leads.at(k, p),
  });
  return {
    rows: body.rows,
    positions: body.positions,
    entropy: unpack(body.entropy),
    divergence: unpack(body.divergence),
    predictions: (p, row) => Array.from({ length: count }, (_, c) => prediction(p, row, c)),
    leadsFrom: finalLeads.at,
    followed: (p) => {
      const own = prediction(p, last, 0).id;
      const others = body.tracked.flatMap((token, k) => (token.id === own ? [] : [trackedToken(p, k)]));
      return [ownToken(p), ...others];
    },
  };
}
