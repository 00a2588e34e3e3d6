"""The layers that hold weights: `Linear`, `Embedding` and the two norms, and the one function that exchanges projections.

LoRA, int8 and int4 enter the model here and only here: they are other classes that take the place of a `Linear`, or of the
embedding. So do matrix multiplications in 16 bits, and frozen weights that stay in 16 bits (`MixedLinear`, `MixedEmbedding`).
Parameters are made empty (`torch.empty`); a reader of model folders or a training run fills them.

A small model's step is mostly Python between kernels, so these classes skip what they do not need: `__call__ = forward`
leaves out nn.Module's hooks (a tap is how one looks inside), and weights and layers are found without nn.Module's
attribute search. Together they save a fifth of a step of stories260k (docs/lab-log.md).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from liuli.model.cpu_kernels import fits_one_row, one_row_product, wants_one_row


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
        self.large = fits_one_row(inputs, outputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias: nn.Parameter | None
        self.register_parameter("bias", nn.Parameter(torch.empty(outputs)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        held: dict[str, Any] = self._parameters
        if self.large and wants_one_row(x, held["weight"]):
            y = one_row_product(x, held["weight"]).view(*x.shape[:-1], -1)
            return y if held["bias"] is None else y + held["bias"]
        return F.linear(x, held["weight"], held["bias"])

    __call__ = forward

    def start(self, deviation: float, random: torch.Generator) -> None:
        """Fills the matrix with normal numbers of this standard deviation, from which learning begins, and the bias with 0."""
        nn.init.normal_(self.weight, 0, deviation, random)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def tie(self, embedding: "Embedding") -> None:
        """Shares the embedding's table as this projection's matrix."""
        self.weight, self.outputs = embedding.weight, len(embedding.weight)

    def dense(self) -> Tensor:
        """The effective matrix, fp32 (outputs, inputs), in whatever form the layer stores it."""
        return self.weight.detach().float()

    def rows(self, outputs: Sequence[int]) -> Tensor:
        """Some rows of `dense()`, fp32 (len(outputs), inputs). Of a large head, the whole matrix in fp32 may not fit."""
        return self.weight.detach()[list(outputs)].float()

    def replaced(self, matrix: Tensor) -> "Linear":
        """A layer of this kind with another matrix, (outputs, inputs), stored in this one's dtype, and the same bias."""
        with torch.device("meta"):
            made = Linear(self.inputs, self.outputs)
        made.weight = nn.Parameter(matrix.to(self.weight.dtype))
        made.register_parameter("bias", self.bias)
        return made

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its outputs."""
        return self.weight.dtype


class MixedLinear(Linear):
    """A projection that multiplies in another dtype than that of its weights, which is one of two things:

    - it learns with multiplications in 16 bits, while its parameters and their gradients are fp32;
    - it is frozen in the 16 bits of its file. A weight in 16 bits is cast exactly, so the results are those of its fp32 copy.

    Without gradients it multiplies in fp32, so that results equal those of other programs. With `always` it keeps the training
    dtype, which is two to three times as fast for large models.

    Args:
        dtype: of multiplications with gradients. always: of those without gradients as well; their results are fp32.
    """

    def __init__(self, linear: Linear, dtype: torch.dtype, always: bool = False):
        nn.Module.__init__(self)
        self.inputs, self.outputs, self.large = linear.inputs, linear.outputs, linear.large
        self.learning_dtype, self.always = dtype, always
        self.weight = linear.weight
        self.register_parameter("bias", linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        dtype, weight = self.dtype, self.weight
        if self.always and not torch.is_grad_enabled() and not self._casts_for_one_row(x):
            products = self.learning_dtype
            bias = None if self.bias is None else self.bias.to(products)
            return F.linear(x.to(products), weight.to(products), bias).to(dtype)
        bias = None if self.bias is None else self.bias.to(dtype)
        if self.large and dtype == self.learning_dtype and wants_one_row(x, weight):  # as the fp32 copy's `Linear` does
            y = one_row_product(x, weight).view(*x.shape[:-1], -1)
            return y if bias is None else y + bias
        if weight.requires_grad or weight.dtype == dtype or not torch.is_grad_enabled():
            return F.linear(x.to(dtype), weight.to(dtype), bias)
        return _FrozenProduct.apply(x.to(dtype), weight, bias)  # pyright: ignore[reportReturnType]

    __call__ = forward

    def _casts_for_one_row(self, x: Tensor) -> bool:
        """Whether the matrix would be cast for a single row, which takes longer than multiplying it in fp32."""
        return self.weight.dtype != self.learning_dtype and x.numel() == self.inputs

    def replaced(self, matrix: Tensor) -> "Linear":
        return MixedLinear(super().replaced(matrix), self.learning_dtype, self.always)

    @property
    def dtype(self) -> torch.dtype:
        return self.learning_dtype if torch.is_grad_enabled() else torch.promote_types(self.weight.dtype, torch.float32)


class _FrozenProduct(torch.autograd.Function):
    """x Wᵀ + b in the dtype of x, for a frozen weight in another dtype. Its cast is made again for the backward pass: if
    autograd kept it, all casts of a model would be in memory at once, which is the copy that 16 bits are to save."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return F.linear(x, weight.to(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (weight,) = grad_outputs, ctx.saved_tensors
        return gradient @ weight.to(gradient.dtype), None, None


class Embedding(nn.Module):
    """A table of vectors, ids (...) int64 -> (..., width)."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width))

    def start(self, deviation: float, random: torch.Generator) -> None:
        """Fills the table with normal numbers of this standard deviation."""
        nn.init.normal_(self.weight, 0, deviation, random)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)

    __call__ = forward

    def dense(self) -> Tensor:
        """The table, fp32 (count, width)."""
        return self.weight.detach().float()

    def rows(self, ids: Sequence[int]) -> Tensor:
        """Some rows of `dense()`, fp32 (len(ids), width)."""
        return self.weight.detach()[list(ids)].float()

    def replaced(self, table: Tensor) -> "Embedding":
        """A layer of this kind with another table, (count, width), stored in this one's dtype."""
        with torch.device("meta"):
            made = Embedding(*table.shape)
        made.weight = nn.Parameter(table.to(self.weight.dtype))
        return made

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its outputs."""
        return self.weight.dtype


class MixedEmbedding(Embedding):
    """A frozen table that stays in the 16 bits of its file and is read as fp32, (...) int64 -> (..., width)."""

    def __init__(self, embedding: Embedding):
        nn.Module.__init__(self)
        self.weight = embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight).float()

    __call__ = forward

    def replaced(self, table: Tensor) -> "Embedding":
        return MixedEmbedding(super().replaced(table))

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32


class RMSNorm(nn.Module):
    """x / √(mean(x²) + ε) · w, in fp32 inside. Source: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467.

    The root is hypot(‖x‖ / √D, √ε): five small kernels, where PyTorch's own norm takes more on the CPU.

    Args:
        from_one: `weight` holds w − 1, as Gemma stores it.
    """

    def __init__(self, width: int, epsilon: float, from_one: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.from_one = from_one
        # Kept as tensors: PyTorch takes twice as long to multiply by a Python number.
        self.scale, self.root_epsilon = torch.tensor([width**-0.5, math.sqrt(epsilon)], device="cpu").unbind()

    def start(self, value: float = 1.0) -> None:
        """The plain norm, times `value`."""
        nn.init.constant_(self.weight, value - self.from_one)

    def forward(self, x: Tensor) -> Tensor:
        weight: Any = self._parameters["weight"]
        wide = x if x.itemsize >= 4 else x.float()
        root_mean_square = torch.hypot(torch.linalg.vector_norm(wide, 2, -1, True) * self.scale, self.root_epsilon)
        normed = wide / root_mean_square
        normed = torch.addcmul(normed, normed, weight) if self.from_one else normed * weight
        return normed if wide is x else normed.to(x.dtype)

    __call__ = forward


class LayerNorm(nn.Module):
    """(x − mean(x)) / √(var(x) + ε) · w + b, in fp32 inside. Source: Ba et al. 2016, https://arxiv.org/abs/1607.06450."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))
        self.epsilon = epsilon

    def start(self, value: float = 1.0) -> None:
        """The plain norm, times `value`."""
        nn.init.constant_(self.weight, value)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        held: dict[str, Any] = self._parameters
        weight, bias = held["weight"], held["bias"]
        return F.layer_norm(x, weight.shape, weight, bias, self.epsilon)

    __call__ = forward


def add_rows(layer: Embedding | Linear, count: int) -> None:
    """Adds rows at the end until there are `count`: each is the mean of all others, so that a new token is at first as likely
    as any other."""
    table = layer.weight.data
    if count <= len(table):
        return
    more = (
        table.to(torch.promote_types(table.dtype, torch.float32))
        .mean(0, keepdim=True)
        .to(table.dtype)
        .expand(count - len(table), -1)
    )
    layer.weight = nn.Parameter(torch.cat([table, more]), layer.weight.requires_grad)
    if isinstance(layer, Linear):
        layer.outputs = count


def copy_row(layer: Embedding | Linear, source: int, targets: Sequence[int]) -> None:
    """Makes the target rows equal to the source row."""
    layer.weight.data[list(targets)] = layer.weight.data[source].clone()


def exchange(model: nn.Module, make: Callable[[str, Any], nn.Module], kind: type[nn.Module] = Linear) -> None:
    """Puts `make(name, layer)` in the place of every `Linear` in `model`; if `make` returns the layer itself, it stays.

    What `make` returns maps (..., inputs) to (..., outputs) and has a `dense()` and a `dtype`. A tied head is exchanged like
    any other projection.

    Args:
        kind: exchanges every layer of this class instead: `Embedding`, or a class that has taken a layer's place.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, kind):
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, make(name, module))
