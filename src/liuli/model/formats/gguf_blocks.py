"""Dequantises the blocks of a GGUF file.

In: rows of bytes. Out: the same rows as fp32 numbers, equal to the bit to those of the package `gguf`. Q5_0, the type of most
weights in common small files, is dequantised here, because the package is several times slower (docs/decisions.md). The package
dequantises the other types.

Source: dequantize_row_q5_0 in ggml-quants.c of https://github.com/ggml-org/llama.cpp.
"""

import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

Q5_0 = GGMLQuantizationType.Q5_0
Q5_0_BYTES = GGML_QUANT_SIZES[Q5_0][1]
LOW_BITS = np.uint64(0x0F0F0F0F0F0F0F0F)  # the lower half of each of 8 bytes
# For each byte of fifth bits: 8 bytes, each 16 if the bit is set, else 0.
FIFTH_BITS = (np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little") << 4).view(np.uint64).ravel()


def dequantize(rows: np.ndarray, kind: GGMLQuantizationType) -> np.ndarray:
    """Returns the numbers of some rows, (rows, numbers per row) fp32.

    Args:
        rows: (rows, bytes per row) uint8; a row is a sequence of whole blocks.
        kind: the type of the blocks.
    """
    return _dequantize_q5_0(rows) if kind == Q5_0 else quants.dequantize(rows, kind)


def _dequantize_q5_0(rows: np.ndarray) -> np.ndarray:
    """A block of 32 numbers is a scale in fp16, 32 fifth bits, and 16 bytes. Byte i contains the lower 4 bits of the numbers i
    and i + 16. Eight bytes are processed at once, as one uint64."""
    blocks = rows.reshape(-1, Q5_0_BYTES)
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    pairs = blocks[:, 6:].copy().view(np.uint64)
    bits = np.concatenate([pairs & LOW_BITS, pairs >> np.uint64(4) & LOW_BITS], axis=1)
    bits |= FIFTH_BITS[blocks[:, 2:6]]
    numbers = (bits.view(np.int8) - np.int8(16)).astype(np.float32)
    numbers *= scales
    return numbers.reshape(len(rows), -1)
