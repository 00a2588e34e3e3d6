"""The layers that hold weights: `Linear`, `Embedding` and the two norms, and the one function that exchanges projections.

LoRA, int8 and int4 enter the model here and only here: they are other classes that take a `Linear`'s place, or that of the
embedding.
Parameters are made empty (`torch.empty`); `folder.py` or a training run fills them.

A small model's step is mostly Python between kernels, so these classes skip what they do not need: `__call__ = forward`
leaves out nn.Module's hooks (a tap is how one looks inside), and weights and layers are found without nn.Module's
attribute search. Together they save a fifth of a step of stories260k (docs/lab-log.md).
"""

import math
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _cpu_vendor() -> str:
    """The processor's maker, as Linux or Windows names it."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.read_text()[:200] if cpuinfo.exists() else os.environ.get("PROCESSOR_IDENTIFIER", "")


def _reads_fp32_memory(x: Tensor, weight: Tensor) -> bool:
    """Whether a product is bound by reading fp32 weights on the CPU, and no gradient is wanted."""
    return weight.dtype == torch.float32 and weight.is_contiguous() and weight.is_cpu and not torch.is_grad_enabled()


# MKL multiplies a matrix by one row at less than half of what the memory gives on processors that are not Intel's, and on
# one thread only. From a megabyte up, an element-wise product and its sums, in pieces that stay in the cache, are faster.
ONE_ROW_BY_SUMS = torch.backends.mkl.is_available() and "AuthenticAMD" in _cpu_vendor()
LARGE, PIECE = 2**18, 2**20  # numbers in a matrix


class _Scratch(threading.local):
    """Memory for the products of one piece, a thread's own. Taken anew for each piece it would be given back to the system
    and faulted in again, as the heap happens to lie: up to five times slower (docs/lab-log.md)."""

    def __init__(self) -> None:
        with torch.inference_mode(False):
            self.memory = torch.empty(PIECE, dtype=torch.float32, device="cpu")


_scratch = _Scratch()


def one_row_product(x_1D: Tensor, weight_FD: Tensor) -> Tensor:
    """x Wᵀ for a single row, (1, D) or (1, 1, D) -> (F), in fp32; D at most PIECE."""
    outputs, width = weight_FD.shape
    rows = PIECE // width
    y_F, x_D = x_1D.new_empty(outputs), x_1D.flatten()
    products = _scratch.memory[: rows * width].view(rows, width)
    for start in range(0, outputs, rows):
        piece = weight_FD[start : start + rows]
        held = products[: len(piece)]
        torch.mul(piece, x_D, out=held)
        torch.sum(held, -1, out=y_F[start : start + rows])
    return y_F


class Layer(nn.Module):
    """A module whose children are plain attributes too."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, nn.Module):
            self.__dict__[name] = value


class Linear(nn.Module):
    """A projection, x (..., inputs) -> (..., outputs): y = x Wᵀ + b."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False):
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.large = inputs * outputs >= LARGE and inputs <= PIECE
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias: nn.Parameter | None
        self.register_parameter("bias", nn.Parameter(torch.empty(outputs)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        held: dict[str, Any] = self._parameters
        if self.large and ONE_ROW_BY_SUMS and x.numel() == self.inputs and _reads_fp32_memory(x, held["weight"]):
            y = one_row_product(x, held["weight"]).view(*x.shape[:-1], -1)
            return y if held["bias"] is None else y + held["bias"]
        return F.linear(x, held["weight"], held["bias"])

    __call__ = forward

    def start(self, deviation: float, random: torch.Generator) -> None:
        """A matrix of normal numbers, from which learning begins; no bias."""
        nn.init.normal_(self.weight, 0, deviation, random)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def tie(self, embedding: "Embedding") -> None:
        """Shares the embedding's table as this projection's matrix."""
        self.weight, self.outputs = embedding.weight, len(embedding.weight)

    def dense(self) -> Tensor:
        """The effective matrix, fp32 (outputs, inputs), whatever the layer stores."""
        return self.weight.detach().float()

    def replaced(self, matrix: Tensor) -> "Linear":
        """A plain projection with another matrix, (outputs, inputs), kept in this one's dtype, and the same bias."""
        with torch.device("meta"):
            made = Linear(self.inputs, self.outputs)
        made.weight = nn.Parameter(matrix.to(self.weight.dtype))
        made.register_parameter("bias", self.bias)
        return made

    @property
    def dtype(self) -> torch.dtype:
        """What its outputs are in."""
        return self.weight.dtype


class MixedLinear(Linear):
    """A projection that learns with products in 16 bits; its parameters and their gradients stay fp32, and so do the products
    where no gradient is wanted: what one looks at is what any other program computes from the same weights."""

    def __init__(self, linear: Linear, dtype: torch.dtype):
        nn.Module.__init__(self)
        self.inputs, self.outputs, self.large = linear.inputs, linear.outputs, linear.large
        self.products, self.weight = dtype, linear.weight
        self.register_parameter("bias", linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        dtype = self.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        return F.linear(x.to(dtype), self.weight.to(dtype), bias)

    __call__ = forward

    @property
    def dtype(self) -> torch.dtype:
        return self.products if torch.is_grad_enabled() else self.weight.dtype


class Embedding(nn.Module):
    """A table of vectors, ids (...) int64 -> (..., width)."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width))

    def start(self, deviation: float, random: torch.Generator) -> None:
        """A table of normal numbers."""
        nn.init.normal_(self.weight, 0, deviation, random)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)

    __call__ = forward

    def dense(self) -> Tensor:
        """The table, fp32 (count, width)."""
        return self.weight.detach().float()

    def replaced(self, table: Tensor) -> "Embedding":
        """Another table, (count, width), kept in this one's dtype."""
        with torch.device("meta"):
            made = Embedding(*table.shape)
        made.weight = nn.Parameter(table.to(self.weight.dtype))
        return made


class RMSNorm(nn.Module):
    """x / √(mean(x²) + ε) · w, in fp32 inside. Source: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467.

    The root is hypot(‖x‖ / √D, √ε): five small kernels, where PyTorch's own norm takes more on the CPU.
    """

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        # Kept as tensors: PyTorch takes twice as long to multiply by a Python number.
        self.scale, self.root_epsilon = torch.tensor([width**-0.5, math.sqrt(epsilon)], device="cpu").unbind()

    def start(self) -> None:
        """The plain norm."""
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        weight: Any = self._parameters["weight"]
        wide = x if x.itemsize >= 4 else x.float()
        root_mean_square = torch.hypot(torch.linalg.vector_norm(wide, 2, -1, True) * self.scale, self.root_epsilon)
        normed = wide / root_mean_square * weight
        return normed if wide is x else normed.to(x.dtype)

    __call__ = forward


class LayerNorm(nn.Module):
    """(x − mean(x)) / √(var(x) + ε) · w + b, in fp32 inside. Source: Ba et al. 2016, https://arxiv.org/abs/1607.06450."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))
        self.epsilon = epsilon

    def start(self) -> None:
        """The plain norm."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        held: dict[str, Any] = self._parameters
        weight, bias = held["weight"], held["bias"]
        return F.layer_norm(x, weight.shape, weight, bias, self.epsilon)

    __call__ = forward


def grow(layer: Embedding | Linear, rows: int) -> None:
    """Rows behind those that there are, up to `rows`: each the mean of all, so that a new token is at first no likelier than
    any other."""
    table = layer.weight.data
    more = table.mean(0, keepdim=True).expand(max(0, rows - len(table)), -1)
    layer.weight = nn.Parameter(torch.cat([table, more]))
    if isinstance(layer, Linear):
        layer.outputs = rows


def begin_like(layer: Embedding | Linear, rows: Sequence[int], like: int) -> None:
    """Makes rows the same as another."""
    layer.weight.data[list(rows)] = layer.weight.data[like].clone()


def exchange(model: nn.Module, make: Callable[[str, Any], nn.Module], kind: type[nn.Module] = Linear) -> None:
    """Puts `make(name, linear)` in the place of every `Linear` in `model`; returning `linear` itself leaves it.

    What `make` returns maps (..., inputs) to (..., outputs) and has a `dense()` and a `dtype`. A tied head is exchanged like
    any other projection. `kind`: in the place of every layer of this class instead: `Embedding`, or one that has taken a
    layer's place.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, kind):
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, make(name, module))
