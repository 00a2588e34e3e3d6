"""Arrays of a view, and how they are written to JSON: as packed bytes in base64, never as lists of numbers.

A view holds NumPy arrays with the exact numbers. Its JSON has fewer bits where the field says so; `Packed.error` is then the
largest difference that packing has made.
"""

import base64
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from liuli.fields import Record

Array = np.ndarray
Layout = Literal["dense", "tril"]
PackedType = Literal["f4", "f2", "i4"]


@dataclass(frozen=True, slots=True)
class Packed(Record):
    """An array as JSON.

    Attributes:
        dtype: of the numbers, little-endian: f4 and f2 (IEEE 754), i4.
        shape: of the array. layout: "dense" is C order; "tril" has of the last two dimensions only the entries (i, j) with
            j ≤ i, row by row; the others are 0.
        error: the largest difference between an unpacked value and the exact one.
        data: the numbers in base64.
    """

    dtype: PackedType
    shape: tuple[int, ...]
    layout: Layout
    error: float
    data: str

    def unpack(self) -> Array:
        """The array, fp32 or int32. NaN and infinities are kept."""
        raw = np.frombuffer(base64.b64decode(self.data), f"<{self.dtype}")
        if self.dtype == "i4":
            return raw.reshape(self.shape)
        values = raw.astype(np.float32)
        if self.layout == "dense":
            return values.reshape(self.shape)
        full = np.zeros(self.shape, np.float32)
        full[(..., *np.tril_indices(self.shape[-1]))] = values.reshape(*self.shape[:-2], -1)
        return full


def pack(array: Array, dtype: PackedType = "f4", layout: Layout = "dense") -> Packed:
    """Packs an array.

    Args:
        array: numbers; "tril" needs (..., T, T).
    """
    shape = tuple(array.shape)
    exact = array if layout == "dense" else array[(..., *np.tril_indices(shape[-1]))]
    raw = np.ascontiguousarray(exact).astype(f"<{dtype}")
    packed = Packed(dtype, shape, layout, 0.0, base64.b64encode(raw.tobytes()).decode())
    with np.errstate(invalid="ignore"):  # infinity − infinity
        gaps = np.abs(packed.unpack().astype(np.float64) - array)
    return replace(packed, error=float(np.nan_to_num(gaps).max(initial=0)))


def array(shape: str, unit: str, dtype: PackedType = "f4", layout: Layout = "dense") -> Any:
    """A field of a view that holds an array.

    Args:
        shape: for people, such as "(L, H)". unit: of its numbers. dtype, layout: how it is packed.
    """
    return field(metadata={"shape": shape, "unit": unit, "dtype": dtype, "layout": layout})
