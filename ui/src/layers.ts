/** How the states of a model are named: after the embedding, then after each layer. */

import type { Language } from "./draw";
import { linearScale, type Scale } from "./scale";

const MOST_LABELS = 9; // on an axis

/** The name of a state: "layer 3", "第 3 层". The last one is the model's own output. */
export function layerName(rows: readonly string[], row: number, language: Language): string {
  const name = rows[row]!;
  if (name === "embedding") {
    return language === "zh" ? "嵌入" : "embedding";
  }
  return language === "zh" ? `第 ${name} 层` : `layer ${name}`;
}

/** The name of a state in a sentence: "the embedding", "layer 3". */
export function layerInSentence(rows: readonly string[], row: number, language: Language): string {
  const name = layerName(rows, row, language);
  return language === "en" && rows[row] === "embedding" ? `the ${name}` : name;
}

/** The name of a state in a column or on an axis: "emb.", "3". */
export function shortLayerName(rows: readonly string[], row: number, language: Language): string {
  const name = rows[row]!;
  return name === "embedding" ? (language === "zh" ? "嵌入" : "emb.") : name;
}

/** An axis of all states. */
export function layerScale(rows: readonly string[], language: Language): Scale {
  const labelled = labelledRows(rows.length, MOST_LABELS);
  return linearScale(0, Math.max(1, rows.length - 1), labelled, (row) => shortLayerName(rows, row, language));
}

/** Which of `count` states get a label if at most `most` fit: the first, the last, and others at equal distances. */
export function labelledRows(count: number, most: number): number[] {
  if (count <= most) {
    return Array.from({ length: count }, (_, row) => row);
  }
  const step = Math.ceil((count - 1) / (most - 1));
  const rows: number[] = [];
  for (let row = 0; row < count - 1; row += step) {
    rows.push(row);
  }
  if (count - 1 - rows[rows.length - 1]! <= step / 2) {
    rows.pop(); // too near to the last one
  }
  return [...rows, count - 1];
}
