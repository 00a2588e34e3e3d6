/** Names of pieces of a text that are no whole tokens of a passage: what BPE begins with and makes, and candidates. */

import { visible } from "./text";

interface Piece {
  text: string;
  bytes: readonly number[];
}

/** The text of a piece, or its bytes as numbers if they are not whole characters. */
export function pieceName(piece: Piece): string {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(piece.bytes));
    return visible(text || piece.text) || "∅";
  } catch {
    return hexBytes(piece.bytes);
  }
}

export function hexBytes(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
}
