/** Names of tokens that stand alone, without a text around them. */

import { pieceName } from "./merges";
import { visible } from "./text";

interface NamedToken {
  id: number;
  text: string;
  bytes: readonly number[];
}

/** A token's text on one line; the bytes of one that is not whole characters. */
export function tokenName(token: NamedToken): string {
  return visible(pieceName(token)) || "∅";
}
