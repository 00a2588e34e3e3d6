/** The tree of a chunk's merges: which pieces became which, at which step. Drawn by `views/tokens.ts`. */

import { tokenName, visible } from "./text";
import type { Chunk, Token } from "./types";

export interface Piece {
  /** As it is shown. */
  name: string;
  /** Null for a character that WordPiece has not matched yet. */
  token: Token | null;
  /** The first and the last leaf that it consists of. */
  first: number;
  last: number;
  /** Its height above the leaves, which have level 0. */
  level: number;
  /** The step that made it; 0 for a leaf. */
  born: number;
  /** The step that made it a part of another piece; Infinity for a token of the result. */
  gone: number;
  parts: Piece[];
}

export interface MergeStep {
  piece: Piece;
  /** Of the merge: lower ranks come first. Null for a match of WordPiece. */
  rank: number | null;
}

export interface Tree {
  leaves: Piece[];
  pieces: Piece[];
  steps: MergeStep[];
}

export function treeOf(chunk: Chunk): Tree {
  return chunk.matches.length > 0 ? treeOfMatches(chunk) : treeOfJoins(chunk);
}

function treeOfJoins(chunk: Chunk): Tree {
  const leaves = chunk.symbols.map((token, at) => leaf(at, tokenName(token), token));
  const current = [...leaves];
  const steps = chunk.joins.map(({ at, rank, result }, index): MergeStep => {
    const parts = current.slice(at, at + 2);
    const piece = joined(parts, result, index + 1);
    current.splice(at, 2, piece);
    return { piece, rank };
  });
  return { leaves, pieces: [...leaves, ...steps.map(({ piece }) => piece)], steps };
}

function treeOfMatches(chunk: Chunk): Tree {
  const leaves = [...chunk.text].map((character, at) => leaf(at, visible(character), null));
  const steps = chunk.matches.map(({ start, end, piece }, index): MergeStep => {
    return { piece: joined(leaves.slice(start, end), piece, index + 1), rank: null };
  });
  return { leaves, pieces: [...leaves, ...steps.map(({ piece }) => piece)], steps };
}

function leaf(at: number, name: string, token: Token | null): Piece {
  return { name, token, first: at, last: at, level: 0, born: 0, gone: Infinity, parts: [] };
}

function joined(parts: Piece[], token: Token, step: number): Piece {
  for (const part of parts) {
    part.gone = step;
  }
  const level = 1 + Math.max(...parts.map((part) => part.level));
  return { name: tokenName(token), token, first: parts[0]!.first, last: parts.at(-1)!.last, level, born: step, gone: Infinity, parts };
}
