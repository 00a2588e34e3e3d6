/** From a value to its place on an axis: 0 is the lower end, 1 the upper end. */

import { number } from "./text";

export interface Scale {
  place(value: number): number;
  ticks: { value: number; text: string }[];
}

export function linearScale(low: number, high: number, ticks: readonly number[], text: (value: number) => string): Scale {
  return {
    place: (value) => clamp((value - low) / (high - low || 1)),
    ticks: ticks.map((value) => ({ value, text: text(value) })),
  };
}

/** Round ticks, about `count` of them. */
export function roundScale(low: number, high: number, count: number): Scale {
  return linearScale(low, high, roundTicks(low, high, count), number);
}

/** The logarithm of the value + 1, so that 0 has a place. Ticks: 0 and the powers of ten. */
export function logScale(high: number): Scale {
  const size = Math.log(high + 1) || 1;
  return {
    place: (value) => clamp(Math.log(value + 1) / size),
    ticks: [0, ...powersOfTen(high)].map((value) => ({ value, text: whole(value) })),
  };
}

/** The best rank, 1, is at the top; distances are those of the logarithms. */
export function rankScale(worst: number): Scale {
  const size = Math.log(Math.max(worst, 2));
  return {
    place: (rank) => clamp(1 - Math.log(rank) / size),
    ticks: powersOfTen(Math.max(worst, 1)).map((value) => ({ value, text: whole(value) })),
  };
}

/** Round values from `low` to `high`, about `count` of them. */
export function roundTicks(low: number, high: number, count: number): number[] {
  if (!(high > low)) {
    return [low];
  }
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10);
  const found: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

/** From the smallest to the largest value, with a little room, and with 0 if it is near. */
export function extent(values: readonly number[]): [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low || 1) * 0.04;
  return [low >= 0 && low < high * 0.5 ? 0 : low - room, high + room];
}

/** The smallest multiple of `step` at or below the smallest of the values. */
export function floorTo(step: number, values: Iterable<number>): number {
  return Math.floor(Math.min(...values) / step + 1e-9) * step;
}

function powersOfTen(high: number): number[] {
  const found: number[] = [];
  for (let value = 1; value <= high; value *= 10) {
    found.push(value);
  }
  return found;
}

function whole(value: number): string {
  return value.toLocaleString("en-US");
}

function clamp(share: number): number {
  return Math.max(0, Math.min(1, share));
}
