"""Which tokens of a text make the model prefer one next token to another: three methods, and a test of each.

- gradient × input: a linear estimate of what each token contributes (Simonyan et al. 2013, https://arxiv.org/abs/1312.6034).
- integrated gradients (Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365), from neutral vectors to the text's own. The
  scores sum to the change between the two.
- occlusion: the change when one token is replaced by the neutral vector (Zeiler and Fergus 2014,
  https://arxiv.org/abs/1311.2901).

The neutral vector is the mean of the embedding table. The deletion test replaces the tokens one after the other, those with the
highest score first: the better a method, the faster the preference falls (Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421).

Legend of shape suffixes: B rows, T tokens, D width, M methods.
"""

from dataclasses import dataclass
from random import Random
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from liuli.generate.model import Model
from liuli.inside.arrays import Array, array
from liuli.inside.contrast import Contrast, contrasts, make_contrast, replacing
from liuli.inside.passage import Passage, read_passage
from liuli.inside.self_check import SelfCheck
from liuli.inside.tape import record
from liuli.inside.view import ModelFacts, View
from liuli.model.decoder import Decoder
from liuli.watch import Watch, unwatched

METHODS = ("gradient × input", "integrated gradients", "occlusion")
FEWEST_POINTS, MOST_POINTS = 32, 512  # at which integrated gradients evaluates the gradient
GAP_LIMIT = 0.01  # of integrated gradients, as a share of the change
TOKENS_AT_ONCE = 512  # in one pass
DELETIONS = 8  # numbers of tokens after which the preference is measured, besides none
TRIALS = 20  # random orders
SEED = 0  # of these orders


@dataclass(frozen=True, kw_only=True)
class InfluenceView(View):
    """The scores of every token of the text.

    Attributes:
        contrast: which token's logit is compared with which other's; the scores are in the same unit.
        neutral: the difference of the two logits if every token is replaced by the neutral vector.
        methods: their names.
        scores: positive: the token makes the target more likely.
        points: at how many points integrated gradients evaluated the gradient.
        deletion: of each method, the mean preference (as a share of the whole change) while tokens are deleted in the order of
            its scores; lower is better. random_deletion: of 20 random orders, the mean and the standard deviation.
        deleted: the numbers of tokens that were deleted. curves: the preference after each of them.
    """

    NAME: ClassVar[str] = "influence"

    contrast: Contrast
    neutral: float
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
        target, other: texts whose first token is meant. Default: the two most likely tokens.

    Raises:
        LiuliError: what `read_passage` and `make_contrast` raise.
    """
    read = read_passage(model, text)
    contrast = make_contrast(model, read, target, other)
    inputs = _Inputs(model.decoder, read, contrast)
    gradient_T = (inputs.gradients(inputs.own_TD[None])[0] * (inputs.own_TD - inputs.neutral_TD)).sum(-1)
    watch("integrated gradients", 0, 0)
    integrated_T, points, gap = _integrate(inputs, watch)
    occluded_T = contrast.value - inputs.values(torch.eye(len(read.ids), dtype=torch.bool))
    scores_MT = torch.stack((gradient_T, integrated_T, occluded_T)).cpu().numpy()
    watch("the deletion test", 0, 0)
    deleted, curves_MN, deletion, at_random = _delete(inputs, scores_MT)
    return InfluenceView(
        model=ModelFacts.of(model),
        input=read,
        seed=SEED,
        checks=(SelfCheck("scores_sum_to_the_difference", gap, "share of the change", GAP_LIMIT),),
        caveats=("influence.method", "occlusion.unseen", "causal.left_only"),
        contrast=contrast,
        neutral=inputs.neutral,
        scores=scores_MT,
        points=points,
        deletion=deletion,
        random_deletion=at_random,
        deleted=deleted,
        curves=curves_MN,
    )


class _Inputs:
    """The text's own vectors and the neutral ones, (T, D), and the contrast of anything in between."""

    def __init__(self, decoder: Decoder, read: Passage, contrast: Contrast):
        self._decoder, self._ids, self._contrast = decoder, read.ids, contrast
        self.own_TD = record(decoder, read.ids, "embedding")[1]["embedding"][0].clone()
        scale = 1.0 if decoder.embedding_scale is None else decoder.embedding_scale.item()
        rows_TD = decoder.embedding.rows(read.ids) * scale
        self.neutral_TD = self.own_TD - rows_TD + decoder.embedding.mean(decoder.config.vocab_size) * scale  # GPT-2's positions stay
        self.neutral = self.values(torch.ones(1, len(read.ids), dtype=torch.bool)).item()

    @property
    def change(self) -> float:
        """The contrast of the text minus that of neutral vectors."""
        return self._contrast.value - self.neutral

    @torch.no_grad()
    def values(self, replaced_BT: Tensor) -> Tensor:
        """The contrast, (B,), with the neutral vector wherever `replaced_BT` is true."""
        at_once = max(1, TOKENS_AT_ONCE // len(self._ids))
        found = []
        for part_BT in replaced_BT.split(at_once):
            x_BTD = torch.where(part_BT[..., None].to(self.own_TD.device), self.neutral_TD, self.own_TD)
            found.append(self._contrasts(x_BTD))
        return torch.cat(found)

    def gradients(self, x_BTD: Tensor) -> Tensor:
        """The gradient of the contrast at the vectors `x_BTD`."""
        at_once = max(1, TOKENS_AT_ONCE // len(self._ids))
        found = []
        for part_BTD in x_BTD.split(at_once):
            with torch.enable_grad():
                leaf_BTD = part_BTD.clone().requires_grad_()
                (gradient_BTD,) = torch.autograd.grad(self._contrasts(leaf_BTD).sum(), leaf_BTD)
            found.append(gradient_BTD)
        return torch.cat(found)

    def _contrasts(self, x_BTD: Tensor) -> Tensor:
        return contrasts(self._decoder, self._ids, len(x_BTD), replacing("embedding", lambda _: x_BTD), self._contrast)


def _integrate(inputs: _Inputs, watch: Watch) -> tuple[Tensor, int, float]:
    """Integrated gradients, (T,), the number of points, and the difference between their sum and the change, as a share of it.
    The points are those of Gauss and Legendre; they are doubled until the difference is small."""
    points = FEWEST_POINTS
    while True:
        watch("integrated gradients", points, MOST_POINTS)
        places, weights = np.polynomial.legendre.leggauss(points)
        shares_B = torch.tensor((places + 1) / 2, dtype=torch.float32, device=inputs.own_TD.device)
        weights_B = torch.tensor(weights / 2, dtype=torch.float32, device=inputs.own_TD.device)
        way_TD = inputs.own_TD - inputs.neutral_TD
        gradient_TD = torch.zeros_like(way_TD)
        for part in torch.arange(points).split(FEWEST_POINTS):  # so that not all points are in memory at once
            x_BTD = inputs.neutral_TD + shares_B[part, None, None] * way_TD
            gradient_TD += (inputs.gradients(x_BTD) * weights_B[part, None, None]).sum(0)
        scores_T = (gradient_TD * way_TD).sum(-1)
        gap = abs(scores_T.sum().item() - inputs.change) / max(abs(inputs.change), 1e-6)
        if gap <= GAP_LIMIT / 2 or points >= MOST_POINTS:
            return scores_T, points, gap
        points *= 2


def _delete(
    inputs: _Inputs, scores_MT: Array
) -> tuple[tuple[int, ...], Array, tuple[float, ...], tuple[float, float]]:
    """The deletion test: see `InfluenceView`."""
    tokens = scores_MT.shape[1]
    counts = sorted({round(tokens * k / DELETIONS) for k in range(DELETIONS + 1)})
    draw = Random(SEED)
    orders = [np.argsort(-scores_T, kind="stable").tolist() for scores_T in scores_MT]
    orders += [draw.sample(range(tokens), tokens) for _ in range(TRIALS)]
    rows = torch.zeros(len(orders), len(counts), tokens, dtype=torch.bool)
    for o, order in enumerate(orders):
        for c, count in enumerate(counts):
            rows[o, c, order[:count]] = True
    values_ON = inputs.values(rows.flatten(0, 1)).view(len(orders), len(counts)).cpu().numpy()
    shares_O = _shares(values_ON, inputs).mean(1)
    methods, at_random = shares_O[: len(METHODS)], shares_O[len(METHODS) :]
    return tuple(counts), values_ON[: len(METHODS)], tuple(methods.tolist()), (at_random.mean().item(), at_random.std().item())


def _shares(values: Array, inputs: _Inputs) -> Array:
    """Contrasts as shares of the change: 1 is the whole text, 0 is all neutral."""
    return (values - inputs.neutral) / (inputs.change or 1e-6)
