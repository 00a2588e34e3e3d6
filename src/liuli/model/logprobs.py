"""Log-probabilities of given next tokens, without the N × V logits ever existing all at once.

The logits are made for a chunk of tokens at a time. `summed_nats` is for a loss that is a weighted sum: its gradient is
computed together with it, so that the head is multiplied once in each direction. `token_logprobs` is for everything else
that is a function of single log-probabilities (DPO, PPO): its backward pass makes the logits of each chunk again.

Legend: N tokens, D width, V vocabulary.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

IGNORED = -100  # the target of a token that is not supervised, as PyTorch's cross entropy knows it
LOGITS_AT_ONCE = 1 << 22  # numbers, 17 MB in fp32: larger chunks leave the CPU's cache (docs/lab-log.md)
LEAST_TOKENS = 128  # of a chunk: each writes a V × D gradient, which fewer tokens would not pay for
ROUNDED = 64  # of the count of tokens whose logits are made, so that few sizes occur
ON_A_GPU = 8  # times as many logits at once, and a few times that for the loss and its gradient


def summed_nats(head: nn.Module, x_ND: Tensor, targets_N: Tensor, weights_N: Tensor | None = None) -> Tensor:
    """−Σ w log p(target) over the targets that are not IGNORED, in nats; fp32, no dimension.

    Args:
        head: a projection to the logits, (N, D) -> (N, V). x_ND: what `Decoder.hidden` returned.
        targets_N: int64. weights_N: w, fp32; None: 1 each.
    """
    x_ND, targets_N, weights_N = _supervised(x_ND, targets_N, weights_N)
    if torch.is_grad_enabled():
        total: Any = _SummedNats.apply(head, x_ND, targets_N, weights_N, *_learning(head))
        return total
    return torch.stack([_nats(head, *chunk) for chunk in _chunks(head, x_ND, targets_N, weights_N)]).sum()


def token_logprobs(head: nn.Module, x_ND: Tensor, targets_N: Tensor) -> Tensor:
    """log p(target) of each token, in nats, fp32 (N,); 0 where the target is IGNORED. Differentiable."""
    if torch.is_grad_enabled():
        found: Any = _TokenLogprobs.apply(head, x_ND, targets_N, *_learning(head))
        return found
    return torch.cat([_logprobs(head, x, targets) for x, targets, _ in _chunks(head, x_ND, targets_N, None)])


class _SummedNats(torch.autograd.Function):
    """The gradient is computed in the forward pass, so that nothing as wide as V waits for the backward pass."""

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
        del ctx.gradients  # autograd owns them now; the head's may be larger than all activations of a layer
        return None, x_ND, None, None, *parameters


class _TokenLogprobs(torch.autograd.Function):
    """Which gradient each token gets is known only in the backward pass, which makes the logits again, chunk by chunk."""

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
    """Gradients of x, joined over the chunks, and of the head's parameters, summed over them."""

    def __init__(self, parameters: Any):
        self._parameters = parameters
        self._of_x: list[Tensor] = []
        self._sums = [torch.zeros_like(parameter) for parameter in parameters]

    def add(self, outputs: Tensor, x: Tensor, of_outputs: Tensor | None) -> None:
        # Zeros for a parameter that is not used: an adapter's, while another adapter or the base alone is active.
        inputs = (x, *self._parameters)
        of_x, *others = torch.autograd.grad(outputs, inputs, of_outputs, materialize_grads=True)
        self._of_x.append(of_x)
        for held, other in zip(self._sums, others, strict=True):
            held += other

    def found(self) -> list[Tensor]:
        return [torch.cat(self._of_x), *self._sums]


def _supervised(x_ND: Tensor, targets_N: Tensor, weights_N: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The tokens that have a target, and as many others as make their count a multiple of `ROUNDED`: logits of a new size in
    each batch would leave holes in the heap (docs/lab-log.md). On a GPU always all tokens: the CPU would have to wait for the
    count."""
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
