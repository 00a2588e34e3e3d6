"""Next-token distributions of many states, summarised so that they never exist all at once.

Legend of shape suffixes: N states (positions, or layers × positions), D width, V vocabulary, K tracked tokens, C candidates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from liuli.inside.arrays import Array
from liuli.inside.tape import check_finite
from liuli.model.decoder import Decoder

NUMBERS_AT_ONCE = 1 << 24  # of a chunk of logits: 67 MB in fp32
SUM_LIMIT = 1e-5  # how far from 1 a distribution in fp32 may sum


@dataclass(frozen=True, slots=True)
class Distributions:
    """A summary of N distributions. Probabilities are the model's own.

    Attributes:
        ids: (N, C), the most likely tokens, the most likely first. logprobs: (N, C), in nats.
        entropy: (N,), in nats.
        tracked: (N, K), the log-probabilities of the tracked tokens, in nats.
        ranks: (N, K), how many tokens are more likely than the tracked one.
        sum_error: (N,), the distance of each distribution's sum from 1.
    """

    ids: Array
    logprobs: Array
    entropy: Array
    tracked: Array
    ranks: Array
    sum_error: Array


@torch.inference_mode()
def logits_in_chunks(decoder: Decoder, x_ND: Tensor) -> Iterator[Tensor]:
    """Yields the logits of the states, fp32 (n, V) on the CPU, a few states at a time.

    Args:
        x_ND: states after the final norm.

    Raises:
        LiuliError: a logit is NaN or infinite.
    """
    at_once = max(1, NUMBERS_AT_ONCE // decoder.config.vocab_size)
    for part_ND in x_ND.split(at_once):
        logits_nV = decoder.logits(part_ND).float().cpu()
        check_finite(logits_nV)
        yield logits_nV


def logprobs_of(logits_NV: Tensor) -> Tensor:
    """Log-probabilities, fp32 (N, V). Over a large vocabulary, PyTorch's `log_softmax` is wrong by up to 5e-5 in fp32; `sum`,
    which adds in pairs, by less than 1e-6."""
    largest_N1 = logits_NV.max(-1, keepdim=True).values
    shifted_NV = logits_NV - largest_N1
    return shifted_NV.sub_(shifted_NV.exp().sum(-1, keepdim=True).log())


@torch.inference_mode()
def summarise(logprobs_NV: Tensor, candidates: int, tracked_NK: Tensor | None = None) -> Distributions:
    """Summarises distributions.

    Args:
        logprobs_NV: what `logprobs_of` returns.
        candidates: how many of the most likely tokens to list.
        tracked_NK: for each distribution, the ids whose log-probability and rank are recorded, int64.
    """
    if tracked_NK is None:
        tracked_NK = torch.empty(len(logprobs_NV), 0, dtype=torch.int64)
    probs_NV = logprobs_NV.exp()
    top = logprobs_NV.topk(min(candidates, logprobs_NV.shape[-1]))
    found_NK = logprobs_NV.gather(-1, tracked_NK)
    ranks = [(logprobs_NV > found_N[:, None]).sum(-1) for found_N in found_NK.unbind(1)]
    sum_error_N = (probs_NV.sum(-1) - 1).abs()
    return Distributions(
        ids=top.indices.numpy(),
        logprobs=top.values.numpy(),
        entropy=-probs_NV.mul_(logprobs_NV).sum(-1).numpy(),  # a product of matrices would add up less exactly
        tracked=found_NK.numpy(),
        ranks=(torch.stack(ranks, 1) if ranks else tracked_NK).numpy(),
        sum_error=sum_error_N.numpy(),
    )


def summarise_states(decoder: Decoder, x_ND: Tensor, candidates: int) -> Distributions:
    """As `summarise`, of the states `x_ND` after the final norm."""
    return joined([summarise(logprobs_of(logits_NV), candidates) for logits_NV in logits_in_chunks(decoder, x_ND)])


def joined(parts: Sequence[Distributions]) -> Distributions:
    """The distributions of all parts, one after the other."""
    names = ("ids", "logprobs", "entropy", "tracked", "ranks", "sum_error")
    return Distributions(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
