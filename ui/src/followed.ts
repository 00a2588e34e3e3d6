/** The tokens of a tracked prompt that are worth following through a run. */

import { unpack } from "./packed";
import type { Token, TrackedPrompt } from "./types";

const MOST = 8;

/** A token through the run: its probability at each recorded step, or null if it was not among the listed ones. */
export interface Followed {
  token: Token;
  shares: (number | null)[];
  /** The probability with which this token is the next one in the world; 0 if it never is, or if that is not known. */
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
  const tracked = unpack(prompt.tracked_logprobs);
  const [steps = 0, listed = 0] = ids.shape;
  const truth = new Map(prompt.true_tokens.map(({ token, probability }) => [token.id, probability ?? 0]));
  const tokens = [...prompt.candidates, ...prompt.tracked, ...prompt.true_tokens.map(({ token }) => token)];
  const rowOf = new Map(
    tokens.map((token) => {
      const shares = new Array<number | null>(steps).fill(null);
      return [token.id, { token, shares, truth: truth.get(token.id) ?? 0 }];
    }),
  );
  for (let s = 0; s < steps; s++) {
    prompt.tracked.forEach((token, k) => (rowOf.get(token.id)!.shares[s] = Math.exp(tracked.at(s, k)) || 0));
    for (let c = 0; c < listed; c++) {
      rowOf.get(ids.at(s, c))!.shares[s] = Math.exp(logprobs.at(s, c)) || 0;
    }
  }
  const rows = [...rowOf.values()]
    .sort((one, other) => other.truth - one.truth || peak(other) - peak(one))
    .slice(0, MOST)
    .sort((one, other) => other.truth - one.truth || lastShare(other) - lastShare(one));
  const known = Array.from({ length: steps }, (_, s) => rows.reduce((sum, row) => sum + (row.shares[s] ?? 0), 0));
  return {
    rows,
    rest: known.map((sum) => Math.max(0, 1 - sum)),
    best: Array.from({ length: steps }, (_, s) => ({
      token: rowOf.get(ids.at(s, 0))!.token,
      share: Math.exp(logprobs.at(s, 0)) || 0,
    })),
    least: Array.from({ length: steps }, (_, s) => Math.exp(logprobs.at(s, listed - 1)) || 0),
  };
}

function peak({ shares }: Followed): number {
  return Math.max(...shares.map((share) => share ?? 0));
}

function lastShare({ shares }: Followed): number {
  return shares[shares.length - 1] ?? 0;
}
