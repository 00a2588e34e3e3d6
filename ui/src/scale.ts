/** From a value to its place on an axis: 0 is the lower end, 1 the upper end. */

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

/** The best rank, 1, is at the top; distances are those of the logarithms. */
export function rankScale(worst: number): Scale {
  const ticks = [1];
  while (ticks[ticks.length - 1]! * 10 <= worst) {
    ticks.push(ticks[ticks.length - 1]! * 10);
  }
  const size = Math.log(Math.max(worst, 2));
  return {
    place: (rank) => clamp(1 - Math.log(rank) / size),
    ticks: ticks.map((value) => ({ value, text: value.toLocaleString("en-US") })),
  };
}

/** The smallest multiple of `step` at or below the smallest of the values. */
export function floorTo(step: number, values: Iterable<number>): number {
  return Math.floor(Math.min(...values) / step + 1e-9) * step;
}

function clamp(share: number): number {
  return Math.max(0, Math.min(1, share));
}
