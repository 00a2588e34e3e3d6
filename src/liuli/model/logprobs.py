"""Log-probabilities of given next tokens, computed without all N × V logits in memory at once.

The logits are computed for one chunk of tokens after the other. `summed_nats` is for losses that are weighted sums: it computes
the gradient in the forward pass, so that logits are computed only once. `token_logprobs` is for other functions of the tokens'
log-probabilities (DPO, PPO): its backward pass computes the logits of each chunk again.

Legend: N tokens, D width, V vocabulary.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

IGNORED = -100  # the target of a token that is not supervised (PyTorch's default `ignore_index`)
LOGITS_AT_ONCE = 1 << 22  # logits per chunk, 17 MB in fp32; larger chunks do not fit in the CPU's cache (docs/lab-log.md)
LEAST_TOKENS = 128  # tokens per chunk at least, because each chunk has the cost of a V × D gradient
ROUNDED = 64  # the number of tokens is rounded up to a multiple of this, so that tensors have only a few different sizes
ON_A_GPU = 8  # a chunk on a GPU is larger by this factor


def summed_nats(head: nn.Module, x_ND: Tensor, targets_N: Tensor, weights_N: Tensor | None = None) -> Tensor:
    """Returns −Σ w log p(target) over the targets that are not IGNORED, in nats: an fp32 tensor without dimensions.

    Args:
        head: a projection to the logits, (N, D) -> (N, V).
        x_ND: the result of `Decoder.hidden`.
        targets_N: the next tokens, int64.
        weights_N: the weights w, fp32; None: all are 1.
    """
    x_ND, targets_N, weights_N = _supervised(x_ND, targets_N, weights_N)
    if torch.is_grad_enabled():
        total: Any = _SummedNats.apply(head, x_ND, targets_N, weights_N, *_learning(head))
        return total
    return torch.stack([_nats(head, *chunk) for chunk in _chunks(head, x_ND, targets_N, weights_N)]).sum()


def token_logprobs(head: nn.Module, x_ND: Tensor, targets_N: Tensor) -> Tensor:
    """Returns log p(target) of each token, in nats, fp32 (N,); 0 if the target is IGNORED. Differentiable."""
    if torch.is_grad_enabled():
        found: Any = _TokenLogprobs.apply(head, x_ND, targets_N, *_learning(head))
        return found
    return torch.cat([_logprobs(head, x, targets) for x, targets, _ in _chunks(head, x_ND, targets_N, None)])


class _SummedNats(torch.autograd.Function):
    """Computes the gradient in the forward pass, so that no logits are kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, head: nn.Module, x_ND: Tensor, targets_N: Tensor, weights_N: Tensor | None, *parameters: Tensor
    ) -> Tensor:
        total = torch.zeros((), device=x_ND.device)
        gradients = _Gradients(parameters)
        for x, targets, weights in _chunks(head, x_ND, targets_N, weights_N):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                nats = _nats(head, x, targets, weights)
            gradients.add(nats, x, None)
            total += nats.detach()
        ctx.gradients = gradients.found()
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x_ND, *parameters = (gradient.mul_(grad_outputs[0]) for gradient in ctx.gradients)
        del ctx.gradients  # autograd owns them now, and the head's gradient is large
        return None, x_ND, None, None, *parameters


class _TokenLogprobs(torch.autograd.Function):
    """Computes the logits again in the backward pass, chunk by chunk, because the gradient of each token is known only then."""

    @staticmethod
    def forward(ctx: Any, head: nn.Module, x_ND: Tensor, targets_N: Tensor, *parameters: Tensor) -> Tensor:
        ctx.head = head
        ctx.save_for_backward(x_ND, targets_N, *parameters)
        return torch.cat([_logprobs(head, x, targets) for x, targets, _ in _chunks(head, x_ND, targets_N, None)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x_ND, targets_N, *parameters = ctx.saved_tensors
        gradients = _Gradients(parameters)
        for x, targets, of_outputs in _chunks(ctx.head, x_ND, targets_N, grad_outputs[0]):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                logprobs = _logprobs(ctx.head, x, targets)
            gradients.add(logprobs, x, of_outputs)
        x_gradient, *others = gradients.found()
        return None, x_gradient, None, *others


class _Gradients:
    """The gradients of x, joined over the chunks, and of the head's parameters, summed over the chunks."""

    def __init__(self, parameters: Any):
        self._parameters = parameters
        self._of_x: list[Tensor] = []
        self._sums = [torch.zeros_like(parameter) for parameter in parameters]

    def add(self, outputs: Tensor, x: Tensor, of_outputs: Tensor | None) -> None:
        # `materialize_grads` gives zeros for unused parameters, such as those of an adapter that is not active.
        inputs = (x, *self._parameters)
        of_x, *others = torch.autograd.grad(outputs, inputs, of_outputs, materialize_grads=True)
        self._of_x.append(of_x)
        for held, other in zip(self._sums, others, strict=True):
            held += other

    def found(self) -> list[Tensor]:
        return [torch.cat(self._of_x), *self._sums]


def _supervised(x_ND: Tensor, targets_N: Tensor, weights_N: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Returns only the tokens that have a target, plus a few others, so that their number is a multiple of `ROUNDED`. Logits of
    a different size in each batch would fragment the heap (docs/lab-log.md). On a GPU it returns all tokens, because the CPU
    would have to wait for their number."""
    if not x_ND.is_cpu:
        return x_ND, targets_N, weights_N
    without_N = targets_N == IGNORED
    supervised = len(targets_N) - int(without_N.sum())
    count = max(1, math.ceil(supervised / ROUNDED)) * ROUNDED
    if count >= len(targets_N):
        return x_ND, targets_N, weights_N
    chosen_n = without_N.argsort(stable=True)[:count]
    return x_ND[chosen_n], targets_N[chosen_n], None if weights_N is None else weights_N[chosen_n]


def _learning(head: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in head.parameters() if parameter.requires_grad]


def _chunks(
    head: Any, x_ND: Tensor, targets_N: Tensor, weights_N: Tensor | None
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    tokens = max(LEAST_TOKENS, LOGITS_AT_ONCE * (1 if x_ND.is_cpu else ON_A_GPU) // head.outputs)
    for start in range(0, len(x_ND), tokens):
        here = slice(start, start + tokens)
        yield x_ND[here], targets_N[here], None if weights_N is None else weights_N[here]


def _nats(head: nn.Module, x_ND: Tensor, targets_N: Tensor, weights_N: Tensor | None) -> Tensor:
    if weights_N is None:
        return F.cross_entropy(head(x_ND).float(), targets_N, ignore_index=IGNORED, reduction="sum")
    return -(_logprobs(head, x_ND, targets_N) * weights_N).sum()


def _logprobs(head: nn.Module, x_ND: Tensor, targets_N: Tensor) -> Tensor:
    return -F.cross_entropy(head(x_ND).float(), targets_N, ignore_index=IGNORED, reduction="none")
