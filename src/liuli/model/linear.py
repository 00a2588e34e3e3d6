"""The layers that hold weights: `Linear`, `Embedding` and the two norms, and the one function that exchanges projections.

LoRA, int8 and int4 enter the model here and only here: they are other classes that take a `Linear`'s place.
Parameters are made empty (`torch.empty`); `folder.py` or a training run fills them.

A small model's step is mostly Python between kernels, so these classes skip what they do not need: `__call__ = forward`
leaves out nn.Module's hooks (a tap is how one looks inside), and parameters are read from `_parameters`, which spares
nn.Module's attribute search. Together they save a fifth of a step of stories260k (docs/lab-log.md).
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Module):
    """A projection, x (..., inputs) -> (..., outputs): y = x Wᵀ + b."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.register_parameter("bias", nn.Parameter(torch.empty(outputs)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        held: dict[str, Any] = self._parameters
        return F.linear(x, held["weight"], held["bias"])

    __call__ = forward

    def tie(self, embedding: "Embedding") -> None:
        """Shares the embedding's table as this projection's matrix."""
        self.weight = embedding.weight

    def dense(self) -> Tensor:
        """The effective matrix, fp32 (outputs, inputs), whatever the layer stores."""
        return self.weight.detach().float()


class Embedding(nn.Module):
    """A table of vectors, ids (...) int64 -> (..., width)."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width))

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)

    __call__ = forward

    def dense(self) -> Tensor:
        """The table, fp32 (count, width)."""
        return self.weight.detach().float()


class RMSNorm(nn.Module):
    """x / √(mean(x²) + ε) · w, in fp32 inside. Source: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        weight: Any = self._parameters["weight"]
        return F.rms_norm(x, weight.shape, weight, self.epsilon)

    __call__ = forward


class LayerNorm(nn.Module):
    """(x − mean(x)) / √(var(x) + ε) · w + b, in fp32 inside. Source: Ba et al. 2016, https://arxiv.org/abs/1607.06450."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        held: dict[str, Any] = self._parameters
        weight, bias = held["weight"], held["bias"]
        return F.layer_norm(x, weight.shape, weight, bias, self.epsilon)

    __call__ = forward


def exchange(model: nn.Module, make: Callable[[str, Linear], nn.Module]) -> None:
    """Puts `make(name, linear)` in the place of every `Linear` in `model`; returning `linear` itself leaves it.

    What `make` returns maps (..., inputs) to (..., outputs) and has a `dense()`. A tied head is exchanged like any
    other projection, the embedding never.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, Linear):
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, make(name, module))
