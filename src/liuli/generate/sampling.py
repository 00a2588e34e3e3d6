"""From one row of logits to one token: pure functions, in the order in which they always act.

grammar mask → penalties (repetition, presence, frequency) → logit bias → temperature → top-k → top-p → min-p → draw

Rules that remove tokens return the entries that they keep, and always keep one. If two entries tie, the lower id comes first.
The token is sampled by the inverse CDF over the kept ids *in id order*, with one uniform number: each kept id has an interval
on the line from 0 to 1, as long as its probability, and the id whose interval holds the number is taken. A change in the last
bits of the logits then moves a boundary only a little. In order of probability it could swap two neighbours.

Legend of shape suffixes: V vocabulary, K entries still kept. `scaled` logits have been divided by the temperature.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.fields import Record, check, is_number, is_positive, is_whole, plain

BROKEN = "no token can be chosen: the model's logits are NaN or infinite; try --dtype fp32, or check the model's weights"
Rule = Literal["grammar", "top_k", "top_p", "min_p"]


@dataclass(frozen=True, slots=True)
class Sampling(Record):
    """How to choose a token. The defaults change nothing: they sample from the model's own distribution.

    `temperature` 0 takes the most likely token. `top_k` 0, `top_p` 1 and `min_p` 0 are off. `repetition_penalty`
    (Keskar et al. 2019, https://arxiv.org/abs/1909.05858) acts on tokens of prompt and completion; `presence_penalty`
    and `frequency_penalty` (as in OpenAI's API) on those of the completion. `logit_bias` adds to logits by id.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = "temperature top_p min_p repetition_penalty presence_penalty frequency_penalty"
        check(self, numbers, _fits_float, "a number")
        check(self, "temperature", lambda value: 0 <= value < math.inf, "0 or more")
        check(self, "top_k", is_whole, "a whole number, 0 (off) or more")
        check(self, "top_p", lambda value: 0 < value <= 1, "above 0 and at most 1")
        check(self, "min_p", lambda value: 0 <= value <= 1, "between 0 and 1")
        check(self, "repetition_penalty", is_positive, "a number above 0")
        check(self, "presence_penalty frequency_penalty", math.isfinite, "a number")
        object.__setattr__(self, "logit_bias", _checked_biases(self.logit_bias))  # the dataclass is frozen

    @property
    def penalises(self) -> bool:
        return (self.repetition_penalty, self.presence_penalty, self.frequency_penalty) != (1.0, 0.0, 0.0)


def _checked_biases(biases: Mapping[int, float]) -> dict[int, float]:
    if not isinstance(biases, Mapping):
        raise LiuliError(f"logit_bias must map token ids to numbers, not be {biases!r}")
    found = {plain(token_id): plain(bias) for token_id, bias in biases.items()}
    for token_id, bias in found.items():
        if type(token_id) is not int:
            raise LiuliError(f"the logit bias contains {token_id!r}, which is not a token id: give an integer")
        if not _fits_float(bias) or math.isnan(bias) or bias == math.inf:
            raise LiuliError(f"the logit bias of token {token_id} must be a number or -inf, not {bias!r}")
    return found


def _fits_float(value: Any) -> bool:
    """Whether it is a number, and no integer that is too large to become a float."""
    return is_number(value) and (isinstance(value, float) or abs(value) <= sys.float_info.max)


@dataclass(frozen=True, slots=True)
class Cut:
    """The effect of one rule: the ids that it kept (ascending), and the probability that it removed, in the distribution before
    it."""

    rule: Rule
    kept: Tensor
    mass: float


@dataclass(slots=True)
class Distribution:
    """The distribution from which a token is sampled: `ids_K` (ascending) with `probs_K` (fp32, summing to 1), and the cuts
    before it."""

    ids_K: Tensor
    probs_K: Tensor
    cuts: list[Cut]

    def removed_by(self, rule: Rule) -> float:
        """The probability that a rule removed, in the distribution before it; 0 if it did not act."""
        return next((cut.mass for cut in self.cuts if cut.rule == rule), 0.0)

    def logprobs(self, ids: Tensor) -> list[float]:
        """Nats after the whole sampler; -inf for ids that were removed."""
        at = torch.searchsorted(self.ids_K, ids).clamp(max=len(self.ids_K) - 1)
        probs = torch.where(self.ids_K[at] == ids, self.probs_K[at], 0.0)
        return probs.log().tolist()

    def intervals(self, ids: Tensor) -> list[tuple[float, float] | None]:
        """The interval of each id on the line from 0 to 1; None for ids that were removed. A uniform number chooses an id if it
        is at least the lower bound and less than the upper bound."""
        at = torch.searchsorted(self.ids_K, ids).clamp(max=len(self.ids_K) - 1)
        upper_K = upper_bounds(self.probs_K)
        lower_K = torch.cat((upper_K.new_zeros(1), upper_K[:-1]))
        kept = (self.ids_K[at] == ids).tolist()
        found = zip(kept, lower_K[at].tolist(), upper_K[at].tolist(), strict=True)
        return [(lower, upper) if is_kept else None for is_kept, lower, upper in found]

    def cut_by(self, ids: Tensor) -> list[Rule | None]:
        """The rule that removed each id; None for those that were kept, or that greedy choice did not take."""
        found: list[Rule | None] = [None] * len(ids)
        for cut in reversed(self.cuts):
            for i, kept in enumerate(torch.isin(ids, cut.kept).tolist()):
                found[i] = found[i] if kept else cut.rule
        return found


def distribution(
    logits_V: Tensor,
    sampling: Sampling,
    allowed_V: Tensor | None = None,
    prompt: Sequence[int] = (),
    counts: Mapping[int, int] | None = None,
) -> Distribution:
    """All rules in order, on fp32 logits of one position.

    Args:
        allowed_V: what the grammar allows, bool. prompt: ids before the completion. counts: how often each id stands
            in the completion so far.

    Raises:
        LiuliError: nothing is left to choose from: the grammar allows no token, or the logits are NaN or infinite.
    """
    adjusted_V, cuts = adjust(logits_V, sampling, prompt, counts or {}), []
    if allowed_V is not None:
        cuts.append(Cut("grammar", allowed_V.nonzero()[:, 0], removed_mass(logits_V, allowed_V)))
        adjusted_V = adjusted_V.masked_fill(~allowed_V, -math.inf)
    if adjusted_V is not logits_V and not math.isfinite(logits_V.max()):
        raise LiuliError(BROKEN)
    greedy = sampling.temperature == 0
    top, likeliest = adjusted_V.max(0) if greedy else (adjusted_V.max(), None)  # the first of equals
    if not math.isfinite(top):
        left_none = "no token can be chosen: the constraint and the logit bias exclude every token; relax one of them"
        raise LiuliError(BROKEN if adjusted_V is logits_V else left_none)
    if likeliest is not None:
        return Distribution(likeliest.view(1), top.new_ones(1), cuts)
    temperature = min(max(sampling.temperature, 1e-30), 1e30)  # what fp32 can divide by
    scaled_V = (adjusted_V - top) / temperature
    ids_K = torch.arange(len(logits_V), device=top.device) if not cuts else cuts[0].kept
    return narrow(ids_K, scaled_V[ids_K] if cuts else scaled_V, sampling, cuts)


def removed_mass(logits_V: Tensor, allowed_V: Tensor) -> float:
    """The probability of what is not allowed. The smaller of its two parts is summed, so that neither is lost to rounding."""
    probs_V = logits_V.softmax(-1)
    mass = probs_V.masked_fill(allowed_V, 0).sum().item()  # faster than to index
    return mass if mass < 0.5 else 1.0 - probs_V.masked_fill(~allowed_V, 0).sum().item()


def adjust(logits_V: Tensor, sampling: Sampling, prompt: Sequence[int], counts: Mapping[int, int]) -> Tensor:
    """Penalties, then logit bias; the row itself if neither is set."""
    if not sampling.penalises and not sampling.logit_bias:
        return logits_V
    logits_V = logits_V.clone()
    if sampling.repetition_penalty != 1:
        seen = logits_V.new_tensor(sorted({*prompt, *counts}), dtype=torch.int64)
        chosen = logits_V[seen]
        logits_V[seen] = torch.where(chosen > 0, chosen / sampling.repetition_penalty, chosen * sampling.repetition_penalty)
    if counts and (sampling.presence_penalty or sampling.frequency_penalty):
        times = logits_V.new_tensor(list(counts.values()))
        logits_V[list(counts)] -= sampling.presence_penalty + sampling.frequency_penalty * times
    for token_id, bias in sampling.logit_bias.items():
        logits_V[token_id] += bias
    return logits_V


def narrow(ids_K: Tensor, scaled_K: Tensor, sampling: Sampling, cuts: list[Cut]) -> Distribution:
    """top-k, top-p and min-p, each on what the one before kept, made to sum to 1 again.

    top-k ranks by logits: at a low temperature many probabilities round to the same.
    """
    probs_K = scaled_K.softmax(-1)

    def keep(rule: Rule, at: Tensor) -> None:
        nonlocal ids_K, probs_K
        kept_K = probs_K[at]
        total = kept_K.sum().item()
        cuts.append(Cut(rule, ids_K[at], 0.0 if len(at) == len(ids_K) else max(0.0, 1.0 - total)))
        ids_K, probs_K = ids_K[at], kept_K / total

    if 0 < sampling.top_k < len(ids_K):
        keep("top_k", top_k(scaled_K, sampling.top_k))
    if sampling.top_p < 1:
        keep("top_p", top_p(probs_K, sampling.top_p))
    if sampling.min_p > 0:
        keep("min_p", min_p(probs_K, sampling.min_p))
    return Distribution(ids_K, probs_K, cuts)


def top_k(values_K: Tensor, k: int, found: torch.return_types.topk | None = None) -> Tensor:
    """Places (ascending) of the k largest, exactly k of them.

    PyTorch's `topk` promises no order among equals: if some of those equal to the smallest are left out, the lowest places
    are taken instead.

    Args:
        found: what `topk` returned, if it was called before.
    """
    found = found or values_K.topk(k)
    smallest = found.values[k - 1]
    if k == len(values_K) or int((values_K == smallest).sum()) == int((found.values[:k] == smallest).sum()):
        return found.indices[:k].sort().values
    above = (values_K > smallest).nonzero()[:, 0]
    ties = (values_K == smallest).nonzero()[: k - len(above), 0]
    return torch.cat((above, ties)).sort().values


def top_p(probs_K: Tensor, p: float, first: int = 1024) -> Tensor:
    """Places (ascending) of the fewest largest probabilities that together reach `p`; the one that crosses is kept.

    Holtzman et al. 2020, https://arxiv.org/abs/1904.09751. Looks at the `first` largest, which nearly always suffice
    and cost a fraction of a full sort; sums are fp64, so that the boundary does not depend on how many are added.
    """
    for count in (min(first, len(probs_K)), len(probs_K)):
        top = probs_K.topk(count)
        needed = int((top.values.cumsum(0, dtype=torch.float64) < p).sum()) + 1
        if needed <= count:
            return top_k(probs_K, needed, top)
    return torch.arange(len(probs_K), device=probs_K.device)  # all of them, rounded, sum to a little less than p


def min_p(probs_K: Tensor, share: float) -> Tensor:
    """Places of the probabilities that are at least `share` of the largest (Nguyen et al. 2024, arXiv:2407.01082)."""
    return (probs_K >= share * probs_K.max()).nonzero()[:, 0]


def pick(probs_K: Tensor, uniform: float) -> int:
    """The place where `uniform` (in [0, 1)) falls: the first whose cumulative probability exceeds it."""
    return int(torch.searchsorted(upper_bounds(probs_K), uniform, right=True))


def upper_bounds(probs_K: Tensor) -> Tensor:
    """The upper bound of each entry's interval on the line from 0 to 1, fp64: cumulative probabilities, the last exactly 1. The
    lower bound is the upper bound of the entry before."""
    reached_K = probs_K.cumsum(0, dtype=torch.float64)
    return reached_K / reached_K[-1]


@dataclass(slots=True)
class Draw:
    """The inputs for one row: its settings, its uniform number, and what the rules need (see `distribution`)."""

    sampling: Sampling
    uniform: float
    allowed_V: Tensor | None = None
    prompt: Sequence[int] = ()
    counts: Mapping[int, int] | None = None


@dataclass(slots=True)
class TokenChoice:
    """The chosen token, its random number, its probability after the whole sampler, and the distribution."""

    id: int
    uniform: float
    probability: float
    distribution: Distribution


def choose(logits_V: Tensor, draw: Draw) -> TokenChoice:
    """One token from one row of fp32 logits. Raises LiuliError if nothing is left to choose from."""
    found = distribution(logits_V, draw.sampling, draw.allowed_V, draw.prompt, draw.counts)
    if found.ids_K.numel() == 1:
        return TokenChoice(int(found.ids_K), draw.uniform, 1.0, found)
    place = pick(found.probs_K, draw.uniform)
    return TokenChoice(int(found.ids_K[place]), draw.uniform, float(found.probs_K[place]), found)
