/** Makes packed arrays for tests. */

import type { Packed } from "../src/types";

export function packed(shape: number[], numbers: readonly number[], dtype: "f4" | "i4" = "f4"): Packed {
  const raw = dtype === "f4" ? Float32Array.from(numbers) : Int32Array.from(numbers);
  const data = btoa(String.fromCharCode(...new Uint8Array(raw.buffer)));
  return { dtype, shape, layout: "dense", error: 0, data };
}
