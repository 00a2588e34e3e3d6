"""The layers with weights (`Linear`, `Embedding` and two norms), and `exchange`, which replaces them by other layers.

LoRA, int8 and int4 are other classes that replace a `Linear` or the embedding. So are matrix multiplications in 16 bits and
frozen 16-bit weights (`MixedLinear`, `MixedEmbedding`). Nothing else in the model needs to know about them. Parameters are
created without values (`torch.empty`); the reader of a model folder or a training run fills them.

In a small model, most of the time is spent in Python between kernels. So these classes avoid two costs of nn.Module:
`__call__ = forward` skips its hooks (use a tap instead), and weights and layers are found without its attribute search.
Together this saves a fifth of a step of stories260k (docs/lab-log.md).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from liuli.model.cpu_kernels import fits_one_row, one_row_product, wants_one_row


class Layer(nn.Module):
    """A module whose children are also plain attributes, which are found faster."""

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
        """Initialises the matrix with normal numbers of this standard deviation, and the bias with 0."""
        nn.init.normal_(self.weight, 0, deviation, random)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def tie(self, embedding: "Embedding") -> None:
        """Makes this projection share the embedding's matrix."""
        self.weight, self.outputs = embedding.weight, len(embedding.weight)

    def dense(self) -> Tensor:
        """Returns the effective matrix, fp32 (outputs, inputs), independent of the form in which the layer stores it."""
        return self.weight.detach().float()

    def rows(self, outputs: Sequence[int]) -> Tensor:
        """Returns some rows of `dense()`, fp32 (len(outputs), inputs). It needs less memory than the whole matrix in fp32."""
        return self.weight.detach()[list(outputs)].float()

    def replaced(self, matrix: Tensor) -> "Linear":
        """Returns a layer of the same class with another matrix, (outputs, inputs), in the same dtype, and the same bias."""
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
    """A projection whose matrix multiplication has another dtype than its weights. There are two cases:

    - Training with 16-bit matrix multiplications; the parameters and their gradients are fp32.
    - A frozen 16-bit matrix from a file. The conversion to fp32 is exact, so the results are those of an fp32 copy.

    Without gradients it multiplies in fp32, so that results equal those of other programs. With `always` it uses `dtype`
    without gradients too, which is two to three times as fast for large models.

    Args:
        dtype: the dtype of the matrix multiplication with gradients.
        always: whether `dtype` is also used without gradients; the results are fp32 then.
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
        if self.large and dtype == self.learning_dtype and wants_one_row(x, weight):  # as in the `Linear` of an fp32 copy
            y = one_row_product(x, weight).view(*x.shape[:-1], -1)
            return y if bias is None else y + bias
        if weight.requires_grad or weight.dtype == dtype or not torch.is_grad_enabled():
            return F.linear(x.to(dtype), weight.to(dtype), bias)
        return _FrozenProduct.apply(x.to(dtype), weight, bias)  # pyright: ignore[reportReturnType]

    __call__ = forward

    def _casts_for_one_row(self, x: Tensor) -> bool:
        """Returns whether the matrix would be converted for a single row, which takes longer than multiplying in fp32."""
        return self.weight.dtype != self.learning_dtype and x.numel() == self.inputs

    def replaced(self, matrix: Tensor) -> "Linear":
        return MixedLinear(super().replaced(matrix), self.learning_dtype, self.always)

    @property
    def dtype(self) -> torch.dtype:
        return self.learning_dtype if torch.is_grad_enabled() else torch.promote_types(self.weight.dtype, torch.float32)


class _FrozenProduct(torch.autograd.Function):
    """x Wᵀ + b in the dtype of x, for a frozen weight in another dtype. The weight is converted again in the backward pass. If
    autograd kept the converted weights, those of all layers would be in memory at once, and 16 bits would save nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return F.linear(x, weight.to(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (weight,) = grad_outputs, ctx.saved_tensors
        return gradient @ weight.to(gradient.dtype), None, None


class Embedding(nn.Module):
    """The embedding: one vector per token, ids (...) int64 -> (..., width)."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width))

    def start(self, deviation: float, random: torch.Generator) -> None:
        """Initialises the vectors with normal numbers of this standard deviation."""
        nn.init.normal_(self.weight, 0, deviation, random)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)

    __call__ = forward

    def dense(self) -> Tensor:
        """Returns all vectors, fp32 (count, width)."""
        return self.weight.detach().float()

    def rows(self, ids: Sequence[int]) -> Tensor:
        """Returns some rows of `dense()`, fp32 (len(ids), width)."""
        return self.weight.detach()[list(ids)].float()

    def replaced(self, table: Tensor) -> "Embedding":
        """Returns a layer of the same class with other vectors, (count, width), in the same dtype."""
        with torch.device("meta"):
            made = Embedding(*table.shape)
        made.weight = nn.Parameter(table.to(self.weight.dtype))
        return made

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its outputs."""
        return self.weight.dtype


class MixedEmbedding(Embedding):
    """A frozen embedding that keeps the 16 bits of its file and returns fp32, (...) int64 -> (..., width)."""

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
    """x / √(mean(x²) + ε) · w, computed in fp32. Source: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467.

    The root is computed as hypot(‖x‖ / √D, √ε). This needs only five small kernels; PyTorch's own norm needs more on the CPU.

    Args:
        from_one: whether `weight` is w − 1, as Gemma stores it.
    """

    def __init__(self, width: int, epsilon: float, from_one: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.from_one = from_one
        # These are tensors, because PyTorch takes twice as long to multiply by a Python number.
        self.scale, self.root_epsilon = torch.tensor([width**-0.5, math.sqrt(epsilon)], device="cpu").unbind()

    def start(self, value: float = 1.0) -> None:
        """Sets all factors w to `value`."""
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
    """(x − mean(x)) / √(var(x) + ε) · w + b, computed in fp32. Source: Ba et al. 2016, https://arxiv.org/abs/1607.06450."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))
        self.epsilon = epsilon

    def start(self, value: float = 1.0) -> None:
        """Sets all factors w to `value`."""
        nn.init.constant_(self.weight, value)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        held: dict[str, Any] = self._parameters
        weight, bias = held["weight"], held["bias"]
        return F.layer_norm(x, weight.shape, weight, bias, self.epsilon)

    __call__ = forward


def add_rows(layer: Embedding | Linear, count: int) -> None:
    """Adds rows at the end until the layer has `count` rows. Each new row is the mean of the old rows, so that a new token is
    at first about as likely as any other."""
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
    """Replaces every `Linear` in `model` by `make(name, layer)`, which may also return the layer itself.

    The new layer must map (..., inputs) to (..., outputs) and have a `dense()` and a `dtype`. A tied head is replaced like any
    other projection.

    Args:
        kind: the class of the layers that are replaced: `Linear`, `Embedding`, or a class that replaced one of them.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, kind):
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, make(name, module))
