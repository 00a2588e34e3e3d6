"""The layers that hold weights: `Linear`, `Embedding` and the two norms, and the one function that exchanges projections.

LoRA, int8 and int4 enter the model here and only here: they are other classes that take a `Linear`'s place.
Parameters are made empty (`torch.empty`); `folder.py` or a training run fills them.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Module):
    """A projection, x (..., inputs) -> (..., outputs): y = x Wᵀ + b."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

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

    def dense(self) -> Tensor:
        """The table, fp32 (count, width)."""
        return self.weight.detach().float()


class RMSNorm(nn.Module):
    """x / √(mean(x²) + ε) · w, in fp32. Source: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.epsilon).to(x.dtype)


class LayerNorm(nn.Module):
    """(x − mean(x)) / √(var(x) + ε) · w + b, in fp32. Source: Ba et al. 2016, https://arxiv.org/abs/1607.06450."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.float(), self.weight.shape, self.weight.float(), self.bias.float(), self.epsilon).to(x.dtype)


def exchange(model: nn.Module, make: Callable[[str, Linear], nn.Module]) -> None:
    """Puts `make(name, linear)` in the place of every `Linear` in `model`; returning `linear` itself leaves it.

    What `make` returns maps (..., inputs) to (..., outputs) and has a `dense()`. A tied head is exchanged like any
    other projection, the embedding never.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, Linear):
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, make(name, module))
