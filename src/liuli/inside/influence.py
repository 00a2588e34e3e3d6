"""Which tokens of a text make the model prefer one next token to another: three methods, and a test of each.

- gradient × input: a linear estimate of what each token contributes (Simonyan et al. 2013, https://arxiv.org/abs/1312.6034).
- integrated gradients (Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365), from neutral vectors to the text's own. The
  scores sum to the change between the two.
- occlusion: the change when one token is replaced by the neutral vector (Zeiler and Fergus 2014,
  https://arxiv.org/abs/1311.2901).

The neutral vector is that of a comma, a token that says little. The first token keeps its vector, and has no score: attention
heads that have nothing to read rest on it, and without it the states change abruptly (docs/lab-log.md). A comma has no score
either, because it is the neutral token itself.

The deletion test replaces the tokens one after the other. First come those whose scores say that they push the difference of
the logits away from its neutral value most: the better a method, the sooner the difference reaches that value (Petsiuk et al.
2018, https://arxiv.org/abs/1806.07421).

Legend of shape suffixes: B rows, T tokens, D width, M methods.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.generate.model import Model
from liuli.inside.arrays import Array, array
from liuli.inside.contrast import SMALL, Contrast, check_length, contrasts, make_contrast, replacing, rows_at_once
from liuli.inside.passage import Passage, read_passage
from liuli.inside.self_check import SelfCheck
from liuli.inside.tape import record
from liuli.inside.view import ModelFacts, View
from liuli.watch import Watch, unwatched

NEUTRAL = ","
MOST_TOKENS = 256  # of a text, which is read about 200 times, and once more per token
METHODS = ("gradient × input", "integrated gradients", "occlusion")
FIRST_STRETCHES = 16  # into which integrated gradients divides its way at first
HALVED = 16  # stretches that are divided again at once
MOST_POINTS = 2048  # at which the gradient is evaluated
GAP_LIMIT = 0.01  # of integrated gradients, as a share of the change; of a change below SMALL, as a share of SMALL
DELETIONS = 8  # numbers of deleted tokens at which the difference is measured, in addition to none
TRIALS = 20  # random orders
SEED = 0  # of these orders


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class InfluenceView(View):
    """The scores of every token of the text.

    Attributes:
        contrast: which token's logit is compared with which other's; the scores are in the same unit.
        neutral: the difference of the two logits if every token but the first is replaced by the neutral vector.
        small: whether the change from there to the whole text is so small that its shares say little.
        methods: their names.
        scores: positive: the token speaks for the target relative to the other token. NaN: no score. The first token always
            keeps its vector, and a comma has the neutral vector already.
        points: at how many points integrated gradients evaluated the gradient.
        deletion: of each method, the mean share of the change that is left while tokens are deleted in the order of its
            scores; lower is better. random_deletion: of 20 random orders, the mean and the standard deviation.
        deleted: the numbers of tokens that were deleted. curves: the difference of the logits after each of them.
    """

    NAME: ClassVar[str] = "influence"

    contrast: Contrast
    neutral: float
    small: bool
    methods: tuple[str, ...] = METHODS
    scores: Array = array("(M, T)", "logits")
    points: int
    deletion: tuple[float, ...]
    random_deletion: tuple[float, float]
    deleted: tuple[int, ...]
    curves: Array = array("(M, number of deletions)", "logits")


def influence(
    model: Model, text: str, target: str | None = None, other: str | None = None, watch: Watch = unwatched
) -> InfluenceView:
    """Returns which tokens of `text` make the model prefer one next token to another.

    Args:
        target, other: words whose first token is meant (`next_word`). Default: the two most likely tokens.

    Raises:
        LiuliError: what `read_passage` and `make_contrast` raise; the text has only one token, nothing but commas after it, or
            more than `MOST_TOKENS`; the weights are in 16 bits.
    """
    read = read_passage(model, text)
    check_length(read, InfluenceView.NAME, MOST_TOKENS)
    if len(read.ids) < 2:
        raise LiuliError("the text has one token, and the first token always keeps its vector: give a longer text")
    if model.decoder.dtype != torch.float32:
        dtype = ModelFacts.of(model).dtype
        raise LiuliError(f"the weights are in {dtype}, which rounds away what one token changes: use --dtype fp32")
    contrast = make_contrast(model, read, target, other)
    inputs = _Inputs(model, read, contrast)
    if not inputs.replaceable:
        raise LiuliError("after its first token, the text has nothing but commas, the neutral token: give another text")
    gradient_T = inputs.slopes(torch.ones(1))[0]
    watch("integrated gradients", 0, 0)
    integrated_T, points, gap = _integrate(inputs, watch)
    occluded_T = contrast.value - inputs.values(torch.eye(len(read.ids), dtype=torch.bool), watch, "occlusion")
    scores_MT = torch.stack((gradient_T, integrated_T, occluded_T)).cpu().numpy()
    scores_MT[:, [t for t in range(len(read.ids)) if t not in inputs.replaceable]] = np.nan
    deleted, curves_MN, deletion, at_random = _delete(inputs, scores_MT, watch)
    return InfluenceView(
        model=ModelFacts.of(model),
        input=read,
        seed=SEED,
        checks=(SelfCheck("scores_sum_to_the_difference", gap, "share of the change", GAP_LIMIT),),
        caveats=("influence.method", "occlusion.unseen", "causal.left_only"),
        contrast=contrast,
        neutral=inputs.neutral,
        small=abs(inputs.change) < SMALL,
        scores=scores_MT,
        points=points,
        deletion=deletion,
        random_deletion=at_random,
        deleted=deleted,
        curves=curves_MN,
    )


class _Inputs:
    """The text's own vectors and the neutral ones, (T, D), and the contrast of anything in between. Those of the first token
    are equal.

    Attributes:
        replaceable: the places of the tokens whose two vectors are not equal.
    """

    def __init__(self, model: Model, read: Passage, contrast: Contrast):
        decoder, tokenizer = model.decoder, model.tokenizer
        assert tokenizer is not None
        (neutral_id, *_) = tokenizer.encode_on(NEUTRAL)
        self.replaceable = [t for t, token_id in enumerate(read.ids) if t > 0 and token_id != neutral_id]
        self._decoder, self._ids, self._contrast = decoder, read.ids, contrast
        self.own_TD = record(decoder, read.ids, "embedding")[1]["embedding"][0].clone()
        scale = 1.0 if decoder.embedding_scale is None else decoder.embedding_scale.item()
        rows_TD = decoder.embedding.rows([*read.ids[1:], neutral_id]) * scale
        self.neutral_TD = self.own_TD.clone()
        self.neutral_TD[1:] += rows_TD[-1] - rows_TD[:-1]  # not replaced as a whole: in GPT-2, the positions stay
        self.neutral = self.values(torch.ones(1, len(read.ids), dtype=torch.bool)).item()

    @property
    def change(self) -> float:
        """The contrast of the text minus that of neutral vectors."""
        return self._contrast.value - self.neutral

    @torch.no_grad()
    def values(self, replaced_BT: Tensor, watch: Watch = unwatched, what: str = "") -> Tensor:
        """The contrast, (B,), with the neutral vector wherever `replaced_BT` is true."""
        found: list[Tensor] = []
        for part_BT in replaced_BT.split(rows_at_once(self._ids)):
            watch(what, sum(map(len, found)), len(replaced_BT))
            x_BTD = torch.where(part_BT[..., None].to(self.own_TD.device), self.neutral_TD, self.own_TD)
            found.append(self._contrasts(x_BTD))
        return torch.cat(found)

    def along(self, places_N: Tensor) -> Tensor:
        """The contrast at places on the way from the neutral vectors (0) to the text's own (1), (N,)."""
        with torch.no_grad():
            return torch.cat([self._contrasts(x_BTD) for x_BTD in self._at(places_N)])

    def slopes(self, places_N: Tensor) -> Tensor:
        """How much each token's own part of the way changes the contrast at these places: gradient × way, (N, T)."""
        way_TD = self.own_TD - self.neutral_TD
        found = []
        for x_BTD in self._at(places_N):
            with torch.enable_grad():
                leaf_BTD = x_BTD.clone().requires_grad_()
                (gradient_BTD,) = torch.autograd.grad(self._contrasts(leaf_BTD).sum(), leaf_BTD)
            found.append((gradient_BTD * way_TD).sum(-1))
        return torch.cat(found)

    def _at(self, places_N: Tensor) -> Iterator[Tensor]:
        """The vectors at some places on the way, (B, T, D), a few places at a time."""
        for part_B in places_N.split(rows_at_once(self._ids)):
            shares_B11 = part_B.to(self.own_TD)[:, None, None]
            yield self.neutral_TD + shares_B11 * (self.own_TD - self.neutral_TD)

    def _contrasts(self, x_BTD: Tensor) -> Tensor:
        return contrasts(self._decoder, self._ids, len(x_BTD), replacing("embedding", lambda _: x_BTD), self._contrast)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A part of the way from the neutral vectors (0) to the text's own (1).

    Attributes:
        scores_T: the integral of gradient × way over it.
        error: the difference between their sum and the change of the contrast over it.
    """

    start: float
    end: float
    scores_T: Tensor
    error: float


def _integrate(inputs: _Inputs, watch: Watch) -> tuple[Tensor, int, float]:
    """Integrated gradients, (T,), the number of points, and the difference between their sum and the change, as a share of it.

    The contrast changes abruptly on a few short parts of the way, so points are added there: the stretches with the largest
    errors are halved until all errors together are small. They are compared with a change of at least `SMALL`: a share of
    almost nothing would only measure rounding.
    """
    change = max(abs(inputs.change), SMALL)
    edges = np.linspace(0, 1, FIRST_STRETCHES + 1).tolist()
    stretches = _measure(inputs, list(pairwise(edges)))
    points = 2 * len(stretches)
    while points < MOST_POINTS and sum(each.error for each in stretches) > change * GAP_LIMIT:
        watch("integrated gradients", points, MOST_POINTS)
        stretches.sort(key=lambda each: each.error)
        worst = [stretches.pop() for _ in range(min(HALVED, len(stretches)))]
        halves = [half for each in worst for half in pairwise((each.start, (each.start + each.end) / 2, each.end))]
        stretches += _measure(inputs, halves)
        points += 2 * len(halves)
    scores_T = torch.stack([each.scores_T for each in stretches]).sum(0)
    return scores_T, points, abs(scores_T.sum().item() - inputs.change) / change


def _measure(inputs: _Inputs, parts: Sequence[tuple[float, float]]) -> list[_Stretch]:
    """Integrates over some parts of the way, at the two points of Gauss and Legendre in each."""
    starts_N, ends_N = (torch.tensor(ends, dtype=torch.float64) for ends in zip(*parts, strict=True))
    lengths_N = ends_N - starts_N
    offsets_2 = torch.tensor([0.5 - 12**-0.5, 0.5 + 12**-0.5], dtype=torch.float64)
    places_N2 = starts_N[:, None] + lengths_N[:, None] * offsets_2
    slopes_N2T = inputs.slopes(places_N2.flatten()).view(len(parts), 2, -1)
    scores_NT = slopes_N2T.mean(1) * lengths_N[:, None].to(slopes_N2T)
    changes_N = inputs.along(ends_N) - inputs.along(starts_N)
    errors_N = (scores_NT.sum(-1) - changes_N).abs().tolist()
    return [_Stretch(*part, scores_T, error) for part, scores_T, error in zip(parts, scores_NT, errors_N, strict=True)]


def _delete(
    inputs: _Inputs, scores_MT: Array, watch: Watch
) -> tuple[tuple[int, ...], Array, tuple[float, ...], tuple[float, float]]:
    """The deletion test: see `InfluenceView`."""
    places = inputs.replaceable
    counts = sorted({round(len(places) * k / DELETIONS) for k in range(DELETIONS + 1)})
    draw = Random(SEED)
    orders = [_order(scores_T, places, inputs.change) for scores_T in scores_MT]
    orders += [draw.sample(places, len(places)) for _ in range(TRIALS)]
    rows = torch.zeros(len(orders), len(counts), scores_MT.shape[1], dtype=torch.bool)
    for o, order in enumerate(orders):
        for c, count in enumerate(counts):
            rows[o, c, order[:count]] = True
    values_ON = inputs.values(rows.flatten(0, 1), watch, "the deletion test").view(len(orders), len(counts)).cpu().numpy()
    shares_O = _shares(values_ON, inputs).mean(1)
    methods, at_random = shares_O[: len(METHODS)], shares_O[len(METHODS) :]
    return tuple(counts), values_ON[: len(METHODS)], tuple(methods.tolist()), (at_random.mean().item(), at_random.std().item())


def _order(scores_T: Array, places: Sequence[int], change: float) -> list[int]:
    """The places of tokens, first those whose scores say that they push the contrast away from its neutral value most. If the
    contrast of the text is below its neutral value, these are the lowest scores."""
    sign = -1 if change < 0 else 1
    return sorted(places, key=lambda place: -sign * scores_T[place])


def _shares(values: Array, inputs: _Inputs) -> Array:
    """Contrasts as shares of the change: 1 is the whole text, 0 is all neutral."""
    return (values - inputs.neutral) / (inputs.change or 1e-6)
