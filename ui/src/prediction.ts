/** Predictions at many places, as views pack them. */

import { unpack } from "./packed";
import { tokenName } from "./text";
import type { Packed, Token } from "./types";

export interface Prediction {
  id: number;
  name: string;
  probability: number;
}

/** Reads the prediction at an index: that of a place, and last the rank among the most likely tokens. */
export function readPredictions(
  candidates: readonly Token[],
  top: Packed,
  topLogprobs: Packed,
): (...index: number[]) => Prediction {
  const names = new Map(candidates.map((token) => [token.id, tokenName(token)]));
  const ids = unpack(top);
  const logprobs = unpack(topLogprobs);
  return (...index) => {
    const id = ids.at(...index);
    return { id, name: names.get(id)!, probability: Math.exp(logprobs.at(...index)) };
  };
}
