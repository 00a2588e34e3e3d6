"""What the model loses without a part: each head, each layer's attention and each feed-forward network in turn.

The part's output is replaced by its mean over plain sentences about other things (mean ablation: unlike zeros, the mean is a
usual output). At the first token the output stays, because its states are unlike all others. The measure is the difference of
two logits, not a probability, which saturates. Source: Heimersheim and Nanda 2024, https://arxiv.org/abs/2404.15255.

Legend of shape suffixes: L layers, H heads, B rows, T tokens, D width.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from liuli.generate.model import Model
from liuli.inside.arrays import Array, array
from liuli.inside.baseline import baseline_ids
from liuli.inside.contrast import Contrast, contrasts, make_contrast
from liuli.inside.passage import read_passage
from liuli.inside.self_check import SelfCheck, largest, limit_in
from liuli.inside.tape import record
from liuli.inside.view import ModelFacts, View
from liuli.model.decoder import Decoder, Tap
from liuli.watch import Watch, unwatched

POINTS = ("heads", "attention_out", "feed_forward_out")
LIMIT = 1e-3  # of a logit


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AblationView(View):
    """The change of the difference of two logits when a part is replaced by its mean output.

    Attributes:
        contrast: which token's logit is compared with which other's.
        heads: of each head. attention: of all heads of a layer together. feed_forward: of the layer's feed-forward network.
            Negative: without the part, the model prefers the target less.
    """

    NAME: ClassVar[str] = "ablation"

    contrast: Contrast
    heads: Array = array("(L, H)", "logits")
    attention: Array = array("(L,)", "logits")
    feed_forward: Array = array("(L,)", "logits")


def ablation(
    model: Model, text: str, target: str | None = None, other: str | None = None, watch: Watch = unwatched
) -> AblationView:
    """Returns what every part contributes to the preference of one next token to another.

    Args:
        target, other: texts whose first token is meant. Default: the two most likely tokens.

    Raises:
        LiuliError: what `read_passage` and `make_contrast` raise.
    """
    read = read_passage(model, text)
    contrast = make_contrast(model, read, target, other)
    decoder, layers = model.decoder, model.config.layers
    means = _means(model)
    rows_LB, untouched = [], []
    with torch.inference_mode():
        for layer in range(layers):
            watch("removing parts", layer, layers)
            tap = _without(decoder, layer, means)
            values_B = contrasts(decoder, read.ids, decoder.config.heads + 3, tap, contrast).cpu()
            rows_LB.append(values_B[:-1] - values_B[-1])
            untouched.append(abs(values_B[-1].item() - contrast.value))
    changes_LB = torch.stack(rows_LB).numpy()
    return AblationView(
        model=ModelFacts.of(model),
        input=read,
        checks=(SelfCheck("patching_nothing", largest(untouched), "logits", limit_in(decoder.dtype, LIMIT)),),
        caveats=("ablation.compensation",),
        contrast=contrast,
        heads=changes_LB[:, :-2],
        attention=changes_LB[:, -2],
        feed_forward=changes_LB[:, -1],
    )


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


def _without(decoder: Decoder, layer: int, means: dict[str, Tensor]) -> Tap:
    """A tap under which row h lacks head h, the next row the layer's attention, the next its feed-forward network, and the last
    row nothing. The output at the first token stays: see `influence.py`."""
    heads, width = decoder.config.heads, decoder.config.head_width
    first = f"blocks.{layer}"

    def tap(name: str, x: Tensor) -> Tensor:
        if name not in (f"{first}.heads", f"{first}.attention_out", f"{first}.feed_forward_out"):
            return x
        x = x.clone()
        if name == f"{first}.heads":
            for head in range(heads):
                part = slice(head * width, (head + 1) * width)
                x[head, 1:, part] = means[name][part]
        else:
            x[heads if name.endswith("attention_out") else heads + 1, 1:] = means[name]
        return x

    return tap
