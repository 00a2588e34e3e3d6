"""What the model loses without a part: each head, each layer's attention and each feed-forward network in turn.

The part's output is replaced by its mean over plain sentences about other things (mean ablation: unlike zeros, the mean is a
usual output). At the first token the output stays, because its states are unlike all others. The measure is the difference of
two logits, not a probability, which saturates. Source: Heimersheim and Nanda 2024, https://arxiv.org/abs/2404.15255.

Legend of shape suffixes: L layers, H heads, B rows, T tokens, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from liuli.fields import Record
from liuli.generate.model import Model
from liuli.inside.arrays import Array, array
from liuli.inside.baseline import baseline_ids
from liuli.inside.contrast import Contrast, check_length, contrasts, make_contrast, rows_at_once
from liuli.inside.passage import Passage, read_passage
from liuli.inside.self_check import SelfCheck, largest, limit_in
from liuli.inside.tape import record
from liuli.inside.view import ModelFacts, View
from liuli.model.decoder import Tap
from liuli.watch import Watch, unwatched

POINTS = ("heads", "attention_out", "feed_forward_out")
Place = tuple[str, slice]  # the name of a point in a layer, and which of its numbers
LIMIT = 1e-3  # of a logit
LISTED = 8  # parts with the largest changes
MOST_TOKENS = 256  # of a text, which is read once per head of the model


@dataclass(frozen=True, slots=True)
class AblatedPart(Record):
    """A part of a layer that was replaced.

    Attributes:
        kind: one head, all heads of the layer together ("attention"), or its feed-forward network.
        head: the number of the head; None for the other kinds.
        change: of the difference of the two logits.
    """

    layer: int
    kind: Literal["head", "attention", "feed_forward"]
    head: int | None
    change: float


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AblationView(View):
    """The change of the difference of two logits when a part is replaced by its mean output.

    Attributes:
        contrast: which token's logit is compared with which other's.
        heads: of each head. attention: of all heads of a layer together. feed_forward: of the layer's feed-forward network.
            Negative: without the part, the model prefers the target less.
        strongest: the parts with the largest changes of either sign, the largest first.
    """

    NAME: ClassVar[str] = "ablation"

    contrast: Contrast
    heads: Array = array("(L, H)", "logits")
    attention: Array = array("(L,)", "logits")
    feed_forward: Array = array("(L,)", "logits")
    strongest: tuple[AblatedPart, ...]


def ablation(
    model: Model, text: str, target: str | None = None, other: str | None = None, watch: Watch = unwatched
) -> AblationView:
    """Returns what every part contributes to the preference of one next token to another.

    Args:
        target, other: words whose first token is meant (`next_word`). Default: the two most likely tokens.

    Raises:
        LiuliError: what `read_passage` and `make_contrast` raise; the text has more than `MOST_TOKENS` tokens.
    """
    read = read_passage(model, text)
    check_length(read, AblationView.NAME, MOST_TOKENS)
    contrast = make_contrast(model, read, target, other)
    layers = model.config.layers
    means = _means(model)
    rows_LB, untouched = [], []
    for layer in range(layers):
        watch("removing parts", layer, layers)
        values_B = _without_each(model, read, _parts(model, layer), means, contrast)
        rows_LB.append(values_B[:-1] - values_B[-1])
        untouched.append(abs(values_B[-1].item() - contrast.value))
    changes_LB = torch.stack(rows_LB).numpy()
    return AblationView(
        model=ModelFacts.of(model),
        input=read,
        checks=(SelfCheck("patching_nothing", largest(untouched), "logits", limit_in(model.decoder.dtype, LIMIT)),),
        caveats=("ablation.compensation",),
        contrast=contrast,
        heads=changes_LB[:, :-2],
        attention=changes_LB[:, -2],
        feed_forward=changes_LB[:, -1],
        strongest=_strongest(changes_LB),
    )


def _strongest(changes_LB: Array) -> tuple[AblatedPart, ...]:
    """The parts with the largest changes. Of each layer, the last two are those without attention and feed-forward network."""
    heads = changes_LB.shape[1] - 2
    found = []
    for layer, changes_B in enumerate(changes_LB.tolist()):
        found += [AblatedPart(layer, "head", head, change) for head, change in enumerate(changes_B[:heads])]
        found.append(AblatedPart(layer, "attention", None, changes_B[heads]))
        found.append(AblatedPart(layer, "feed_forward", None, changes_B[heads + 1]))
    return tuple(sorted(found, key=lambda part: -abs(part.change))[:LISTED])


def _means(model: Model) -> dict[str, Tensor]:
    """The mean of each point over all tokens of the baseline but the first of each sentence, (D,), by name."""
    sums: dict[str, Tensor] = {}
    tokens = 0
    for ids in baseline_ids(model):
        if len(ids) < 2:
            continue
        tape = record(model.decoder, ids, *(f"blocks.*.{point}" for point in POINTS))[1]
        tokens += len(ids) - 1
        for layer in range(model.config.layers):
            for point in POINTS:
                name = f"blocks.{layer}.{point}"
                sums[name] = sums.get(name, 0) + tape[name][0, 1:].sum(0)
    return {name: total / tokens for name, total in sums.items()}


def _parts(model: Model, layer: int) -> list[Place | None]:
    """What the rows lack: each head of the layer, all its heads, its feed-forward network, nothing."""
    first, width = f"blocks.{layer}", model.config.head_width
    parts: list[Place | None] = [
        (f"{first}.heads", slice(head * width, (head + 1) * width)) for head in range(model.config.heads)
    ]
    return [*parts, (f"{first}.attention_out", slice(None)), (f"{first}.feed_forward_out", slice(None)), None]


@torch.inference_mode()
def _without_each(
    model: Model, read: Passage, parts: Sequence[Place | None], means: dict[str, Tensor], contrast: Contrast
) -> Tensor:
    """The contrast without each of the parts, (B,), as many rows at once as one pass may have."""
    found = []
    at_once = rows_at_once(read.ids)
    for start in range(0, len(parts), at_once):
        some = parts[start : start + at_once]
        found.append(contrasts(model.decoder, read.ids, len(some), _without(some, means), contrast).cpu())
    return torch.cat(found)


def _without(parts: Sequence[Place | None], means: dict[str, Tensor]) -> Tap:
    """A tap under which each row lacks its part. The output at the first token stays: see `influence.py`."""

    def tap(name: str, x: Tensor) -> Tensor:
        rows = [(row, part[1]) for row, part in enumerate(parts) if part is not None and part[0] == name]
        if not rows:
            return x
        x = x.clone()
        for row, where in rows:
            x[row, 1:, where] = means[name][where]
        return x

    return tap
