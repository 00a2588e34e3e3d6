"""What training minimises: an objective takes a decoder and a batch, and returns a `Loss`.

An objective sums over its units and never takes a mean: the loop divides the sum over all micro-batches by the weight of
the whole global batch. A unit is a supervised token for the next-token loss, a pair of answers for DPO. An objective is 10
to 20 lines on top of `batch_logprobs`.

Legend: B rows, T positions, N = B · T.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from torch import Tensor

from liuli.data.packing.batch import IGNORED, Batch
from liuli.model.decoder import Decoder
from liuli.model.logprobs import summed_nats, token_logprobs

Hidden = Callable[..., Tensor]  # `Decoder.hidden`, or the same compiled


@dataclass(frozen=True, slots=True)
class Loss:
    """What an objective found in some rows.

    Attributes:
        total: summed over the units; fp32, no dimension, differentiable.
        metrics: other sums over the units, fp32, no dimension, detached. They are divided by the weight like the total.
    """

    total: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(Protocol):
    """What a stage minimises.

    Attributes:
        rows_per_unit: how many neighbouring rows of a batch belong together (2 for a pair of answers): a micro-batch never
            separates them.
    """

    rows_per_unit: ClassVar[int]

    def weight(self, batch: Batch) -> float:
        """The total weight of the units of a batch; 0: there is nothing to learn from.

        The loop calls it for the whole batch, on the CPU, before the first forward pass. So each micro-batch's gradient is
        divided by the weight of the whole batch, without waiting for a GPU.
        """
        ...

    def __call__(self, decoder: Decoder, batch: Batch) -> Loss: ...


@dataclass(frozen=True, slots=True)
class NextToken:
    """−Σ w log p(next token | the tokens before it), in nats, over the positions that have a target.

    Attributes:
        hidden: the compiled `Decoder.hidden`, if it is compiled.
    """

    hidden: Hidden | None = None
    rows_per_unit: ClassVar[int] = 1

    def weight(self, batch: Batch) -> float:
        if batch.weights_BT is None:
            return batch.supervised
        return float(batch.weights_BT[batch.targets_BT != IGNORED].sum())

    def __call__(self, decoder: Decoder, batch: Batch) -> Loss:
        x_BTD = (self.hidden or decoder.hidden)(*batch.inputs)
        weights_N = None if batch.weights_BT is None else batch.weights_BT.flatten()
        return Loss(summed_nats(decoder.head, x_BTD.flatten(0, 1), batch.targets_BT.flatten(), weights_N))


def batch_logprobs(decoder: Decoder, batch: Batch, hidden: Hidden | None = None) -> Tensor:
    """log p(target) of each position, in nats, fp32 (B, T); 0 if there is no target. Differentiable."""
    x_BTD = (hidden or decoder.hidden)(*batch.inputs)
    return token_logprobs(decoder.head, x_BTD.flatten(0, 1), batch.targets_BT.flatten()).view_as(batch.targets_BT)
