"""What training makes small: an objective takes a decoder and a batch, and gives nats summed over the supervised tokens.

The loop divides by their number over the whole global batch: an objective never takes a mean.

Legend: B rows, T places, N = B · T, D width, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from liuli.data.packing.batch import IGNORED, Batch
from liuli.model.decoder import Decoder

Objective = Callable[[Decoder, Batch], Tensor]
LOGITS_AT_ONCE = 1 << 22  # numbers, 17 MB in fp32: larger pieces leave the CPU's cache (docs/lab-log.md)
ON_A_GPU = 8  # times as many, and a few times that for the loss and its gradient


def next_token(decoder: Decoder, batch: Batch, hidden: Callable[..., Tensor] | None = None) -> Tensor:
    """−Σ log p(next token | those before it), in nats, over the places that have a target; fp32, no dimension.

    Args:
        hidden: stands for `decoder.hidden`, compiled.
    """
    # Rows of one whole document each need no mask, and causal attention does half the work.
    segments_BT = batch.segments_BT if bool(batch.segments_BT.any()) else None
    x_BTD = (hidden or decoder.hidden)(batch.ids_BT, batch.positions_BT, segments_BT)
    return cross_entropy(decoder.head, x_BTD.flatten(0, 1), batch.targets_BT.flatten())


def cross_entropy(head: nn.Module, x_ND: Tensor, targets_N: Tensor) -> Tensor:
    """Nats summed over the targets that are not IGNORED.

    The N × V logits never exist at once where they are many: they are made a chunk at a time, and a chunk's gradient is
    worked out with its loss, so that nothing as wide as V waits for the backward pass.
    """
    if torch.is_grad_enabled():
        total: Any = _Chunked.apply(head, x_ND, targets_N, *(p for p in head.parameters() if p.requires_grad))
        return total
    return torch.stack([_nats(head, x, targets) for x, targets in _chunks(head, x_ND, targets_N)]).sum()


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, head: nn.Module, x_ND: Tensor, targets_N: Tensor, *parameters: Tensor) -> Tensor:
        total, x_gradients = torch.zeros((), device=x_ND.device), []
        gradients = [torch.zeros_like(parameter) for parameter in parameters]
        for x, targets in _chunks(head, x_ND, targets_N):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                nats = _nats(head, x, targets)
            # Zeros for a parameter that is not asked: an adapter's, while another adapter or the base alone is in use.
            x_gradient, *others = torch.autograd.grad(nats, (x, *parameters), materialize_grads=True)
            x_gradients.append(x_gradient)
            for gradient, other in zip(gradients, others, strict=True):
                gradient += other
            total += nats.detach()
        ctx.gradients = [torch.cat(x_gradients), *gradients]
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, *parameters = (gradient * grad_outputs[0] for gradient in ctx.gradients)
        return None, x_ND, None, *parameters


def _chunks(head: Any, x_ND: Tensor, targets_N: Tensor) -> Any:
    rows = max(1, LOGITS_AT_ONCE * (1 if x_ND.is_cpu else ON_A_GPU) // head.outputs)
    return zip(x_ND.split(rows), targets_N.split(rows), strict=True)


def _nats(head: nn.Module, x_ND: Tensor, targets_N: Tensor) -> Tensor:
    return F.cross_entropy(head(x_ND).float(), targets_N, ignore_index=IGNORED, reduction="sum")
