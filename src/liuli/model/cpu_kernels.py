"""The multiplication of a matrix by one row, for processors on which MKL is slow.

On processors that are not Intel's, MKL multiplies a matrix by one row with less than half of the memory's speed, and on only
one thread. For matrices of a megabyte or more, it is faster to multiply element by element and to sum, in pieces that fit in
the cache.
"""

import os
import threading
from pathlib import Path

import torch
from torch import Tensor

LARGE, PIECE = 2**18, 2**20  # the least number of elements of a matrix, and the number of elements that are multiplied at once


def _cpu_vendor() -> str:
    """Returns a text with the processor's vendor, from Linux or Windows."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.read_text()[:200] if cpuinfo.exists() else os.environ.get("PROCESSOR_IDENTIFIER", "")


ONE_ROW_BY_SUMS = torch.backends.mkl.is_available() and "AuthenticAMD" in _cpu_vendor()


class _Scratch(threading.local):
    """Memory for the products of one piece, one per thread. If it were allocated for each piece, it could be returned to the
    system each time, depending on the state of the heap; this can be up to five times slower (docs/lab-log.md)."""

    def __init__(self) -> None:
        with torch.inference_mode(False):
            self.memory = torch.empty(PIECE, dtype=torch.float32, device="cpu")


_scratch = _Scratch()


def fits_one_row(inputs: int, outputs: int) -> bool:
    """Returns whether a matrix of this shape is large enough for `one_row_product`, and its rows are short enough."""
    return inputs * outputs >= LARGE and inputs <= PIECE


def wants_one_row(x: Tensor, weight_FD: Tensor) -> bool:
    """Returns whether `one_row_product` is the fastest way to compute x Wᵀ: for one row of fp32 on an AMD CPU, without
    gradients."""
    return (
        ONE_ROW_BY_SUMS
        and x.numel() == weight_FD.shape[1]
        and x.dtype == torch.float32
        and weight_FD.is_contiguous()
        and weight_FD.is_cpu
        and not torch.is_grad_enabled()
    )


def one_row_product(x_1D: Tensor, weight_FD: Tensor) -> Tensor:
    """Returns x Wᵀ for a single row in fp32, (1, D) or (1, 1, D) -> (F), fp32; D is at most PIECE. A 16-bit matrix gives the
    same result as its fp32 copy."""
    outputs, width = weight_FD.shape
    rows = PIECE // width
    y_F = x_1D.new_empty(outputs)
    x_D = x_1D.flatten()
    products = _scratch.memory[: rows * width].view(rows, width)
    for start in range(0, outputs, rows):
        piece = weight_FD[start : start + rows]
        held = products[: len(piece)]
        if piece.dtype == torch.float32:
            torch.mul(piece, x_D, out=held)
        else:
            held.copy_(piece).mul_(x_D)
        torch.sum(held, -1, out=y_F[start : start + rows])
    return y_F
