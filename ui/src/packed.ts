/** Arrays as `liuli.inside.arrays` packs them. */

export interface Packed {
  dtype: "f4" | "f2" | "i4";
  shape: number[];
  layout: "dense" | "tril";
  error: number | null;
  data: string;
}

/** Numbers in C order, with their shape. A packed lower triangle is unpacked to a whole square; what was left out is 0. */
export interface NumberArray {
  shape: number[];
  values: Float64Array;
  /** The value at one index per dimension. */
  at(...index: number[]): number;
}

const BYTES = { f4: 4, f2: 2, i4: 4 } as const;

export function unpack(packed: Packed): NumberArray {
  const bytes = Uint8Array.from(atob(packed.data), (character) => character.charCodeAt(0));
  const source = new DataView(bytes.buffer);
  const count = bytes.length / BYTES[packed.dtype];
  const raw = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    raw[i] = readNumber(source, i, packed.dtype);
  }
  const values = packed.layout === "tril" ? fillSquares(raw, packed.shape) : raw;
  return withShape(packed.shape, values);
}

export function withShape(shape: number[], values: Float64Array): NumberArray {
  return {
    shape,
    values,
    at(...index) {
      let place = 0;
      for (let d = 0; d < shape.length; d++) {
        place = place * shape[d]! + index[d]!;
      }
      return values[place]!;
    },
  };
}

function readNumber(source: DataView, i: number, dtype: Packed["dtype"]): number {
  switch (dtype) {
    case "f4":
      return source.getFloat32(4 * i, true);
    case "i4":
      return source.getInt32(4 * i, true);
    case "f2":
      return halfToNumber(source.getUint16(2 * i, true));
  }
}

/** IEEE 754 binary16. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) {
    return sign * fraction * 2 ** -24;
  }
  if (exponent === 0x1f) {
    return fraction ? NaN : sign * Infinity;
  }
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function fillSquares(raw: Float64Array, shape: number[]): Float64Array {
  const side = shape[shape.length - 1]!;
  const squares = shape.slice(0, -2).reduce((product, size) => product * size, 1);
  const values = new Float64Array(squares * side * side);
  let next = 0;
  for (let square = 0; square < squares; square++) {
    for (let row = 0; row < side; row++) {
      for (let column = 0; column <= row; column++) {
        values[(square * side + row) * side + column] = raw[next++]!;
      }
    }
  }
  return values;
}
