/** The tokens of a tracked prompt that are worth following through a run. */

import { unpack } from "./packed";
import type { Token, TrackedPrompt, TruePiece } from "./types";

const MOST = 8;

/** A token through the run: its probability at each recorded step, or null where it was not among the listed ones. */
export interface Followed {
  token: Token;
  shares: (number | null)[];
  /** The probability with which the world goes on with this token; 0 if it never does, or if that is not known. */
  truth: number;
}

export interface FollowedPrompt {
  rows: Followed[];
  /** At each step, the probability of all tokens that are not in `rows`, as far as it is known. */
  rest: number[];
  /** At each step, the most likely token and its probability. */
  best: { token: Token; share: number }[];
  /** At each step, the smallest probability that was listed. */
  least: number[];
}

/** Returns the tokens that are true, and those that were once the most likely ones, by their probability at the end. */
export function follow(prompt: TrackedPrompt): FollowedPrompt {
  const ids = unpack(prompt.top);
  const logprobs = unpack(prompt.top_logprobs);
  const [steps = 0, listed = 0] = ids.shape;
  const shares = new Map(prompt.candidates.map((token) => [token.id, new Array<number | null>(steps).fill(null)]));
  for (let s = 0; s < steps; s++) {
    for (let c = 0; c < listed; c++) {
      shares.get(ids.at(s, c))![s] = Math.exp(logprobs.at(s, c)) || 0;
    }
  }
  const all = prompt.candidates.map((token) => ({ token, shares: shares.get(token.id)!, truth: truthOf(token, prompt.truth) }));
  const rows = all
    .sort((one, other) => other.truth - one.truth || peak(other) - peak(one))
    .slice(0, MOST)
    .sort((one, other) => other.truth - one.truth || lastShare(other) - lastShare(one));
  const known = Array.from({ length: steps }, (_, s) => rows.reduce((sum, row) => sum + (row.shares[s] ?? 0), 0));
  return {
    rows,
    rest: known.map((sum) => Math.max(0, 1 - sum)),
    best: Array.from({ length: steps }, (_, s) => ({
      token: prompt.candidates.find((token) => token.id === ids.at(s, 0))!,
      share: Math.exp(logprobs.at(s, 0)) || 0,
    })),
    least: Array.from({ length: steps }, (_, s) => Math.exp(logprobs.at(s, listed - 1)) || 0),
  };
}

/** What can follow is written in pieces that can have several tokens; a token is true if a piece begins with it. */
export function truthOf(token: Token, truth: readonly TruePiece[]): number {
  if (token.bytes.length === 0) {
    return 0;
  }
  return truth.reduce((sum, piece) => sum + (piece.text.startsWith(token.text) ? (piece.probability ?? 0) : 0), 0);
}

function peak({ shares }: Followed): number {
  return Math.max(...shares.map((share) => share ?? 0));
}

function lastShare({ shares }: Followed): number {
  return shares[shares.length - 1] ?? 0;
}
