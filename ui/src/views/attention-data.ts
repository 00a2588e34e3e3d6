/** The numbers of the attention view, and the shapes of its triangles. */

import { unpack, type NumberArray } from "../packed";
import type { AttentionView } from "../types";

export const HABITS = ["first", "previous", "itself", "induction", "entropy"] as const;
export type Habit = (typeof HABITS)[number];

/** What is shown of a read: its weight, or its size, which is the weight times the size of the value. */
export type Measure = "weight" | "size";

export interface Setting {
  measure: Measure;
  hideFirst: boolean;
}

export interface AttentionData {
  layers: number;
  heads: number;
  tokens: number;
  layer: number;
  habits: Record<Habit, NumberArray>;
  weight(head: number, token: number, source: number): number;
  /** The size of the value at a token, after the head's part of the output matrix. */
  size(head: number, source: number): number;
}

export interface HeadValue {
  layer: number;
  head: number;
  value: number;
}

export function readAttention(view: AttentionView): AttentionData {
  const { body } = view;
  const weights = unpack(body.weights);
  const sizes = unpack(body.value_sizes);
  const habits = {
    first: unpack(body.first),
    previous: unpack(body.previous),
    itself: unpack(body.itself),
    induction: unpack(body.induction),
    entropy: unpack(body.entropy),
  };
  const [layers, heads] = habits.first.shape as [number, number];
  return {
    layers,
    heads,
    tokens: weights.shape[2]!,
    layer: body.layer,
    habits,
    weight: weights.at,
    size: sizes.at,
  };
}

const MOST_IN_TRIANGLE = 96; // tokens: more cells would be too small to point at, or the triangle too large for the page

/** The first token in the triangles: of a long text, they have only the last tokens. The lists have all. */
export function triangleStart(data: AttentionData): number {
  return Math.max(0, data.tokens - MOST_IN_TRIANGLE);
}

/** The weight or the size of one read; a hidden first token counts as 0. */
export function readOf(data: AttentionData, setting: Setting, head: number, token: number, source: number): number {
  if (setting.hideFirst && source === 0) {
    return 0;
  }
  const weight = data.weight(head, token, source);
  return setting.measure === "weight" ? weight : weight * data.size(head, source);
}

/** The value of a full colour: one weight for all heads of the layer, so that they can be compared. */
export function largestRead(data: AttentionData, setting: Setting): number {
  if (setting.measure === "weight" && !setting.hideFirst) {
    return 1;
  }
  let largest = 0;
  for (let head = 0; head < data.heads; head++) {
    for (let token = 0; token < data.tokens; token++) {
      for (let source = 0; source <= token; source++) {
        largest = Math.max(largest, readOf(data, setting, head, token, source));
      }
    }
  }
  return largest || 1;
}

/** The heads in which a habit is strongest. Numbers that are not known (NaN) are left out. */
export function strongestHeads(values: NumberArray, count: number): HeadValue[] {
  const heads = values.shape[1]!;
  return [...values.values]
    .map((value, at) => ({ layer: Math.floor(at / heads), head: at % heads, value }))
    .filter(({ value }) => Number.isFinite(value))
    .sort((one, other) => other.value - one.value)
    .slice(0, count);
}

/**
 * Returns an SVG path for each level of strength, made of the cells of a lower triangle that have it: few elements for any
 * number of tokens. Cells of one level that are next to each other in a row are one rectangle. Level 0, almost nothing, has no
 * path.
 *
 * @param share of the full strength at a row and a column, from 0 to 1.
 */
export function trianglePaths(side: number, levels: number, share: (row: number, column: number) => number): string[] {
  const paths: string[] = Array.from({ length: levels }, () => "");
  for (let row = 0; row < side; row++) {
    const levelAt = (column: number) => Math.round(Math.min(1, share(row, column)) * levels);
    let start = 0;
    let level = levelAt(0);
    for (let column = 1; column <= row + 1; column++) {
      const next = column <= row ? levelAt(column) : -1;
      if (next === level) {
        continue;
      }
      if (level > 0) {
        paths[level - 1] += `M${start} ${row}h${column - start}v1h${start - column}z`;
      }
      [start, level] = [column, next];
    }
  }
  return paths;
}
