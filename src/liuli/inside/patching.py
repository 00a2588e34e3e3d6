"""Where in the model the difference between two texts is carried: the state of one text, put into the reading of the other.

The model reads the other text. At one layer and one token, its residual stream is replaced by the one it has when it reads the
first text. The number is the share of the difference between the two predictions that this restores: 0 is the other text, 1 is
the first. Source: Meng et al. 2022, https://arxiv.org/abs/2202.05262; Heimersheim and Nanda 2024,
https://arxiv.org/abs/2404.15255.

Legend of shape suffixes: R states (after the embedding, then after each block but the last), B rows, T tokens, D width.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.generate.model import Model
from liuli.inside.arrays import Array, array
from liuli.inside.contrast import SMALL, Contrast, check_length, contrast_of, contrasts, replacing, rows_at_once
from liuli.inside.distributions import logits_in_chunks
from liuli.inside.next_word import next_word
from liuli.inside.passage import Passage, read_passage
from liuli.inside.self_check import SelfCheck, largest, limit_in
from liuli.inside.tape import record
from liuli.inside.view import ModelFacts, View
from liuli.watch import Watch, unwatched

LIMIT = 1e-3  # of a logit
LEAST = 1e-3  # logits: a difference between the texts of which no shares can be computed
MOST_TOKENS = 128  # of a text, which is read once per layer and token


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PatchingView(View):
    """Which states restore the prediction of the first text, `input`, in the reading of the other.

    Attributes:
        other: the other text, with as many tokens.
        contrast: the next token of the first text against that of the other; its value is that of the first text.
        other_value: the difference of these logits after the other text.
        small: whether the two differences are so similar that the shares say little.
        rows: "embedding", then "0", "1", … for the state after each block but the last.
        restored: the share of the difference between the texts that one state restores.
    """

    NAME: ClassVar[str] = "patching"

    other: Passage
    contrast: Contrast
    other_value: float
    small: bool
    rows: tuple[str, ...]
    restored: Array = array("(R, T)", "share of the difference")


def patching(
    model: Model,
    text: str,
    other: str,
    target: str | None = None,
    against: str | None = None,
    watch: Watch = unwatched,
) -> PatchingView:
    """Returns which states of `text` restore its prediction in the reading of `other`.

    Args:
        target, against: words whose first token is meant (`next_word`): after `text` and after `other`. Default: the most
            likely token after each text.

    Raises:
        LiuliError: what `read_passage` and `next_word` raise; the texts have different numbers of tokens, more than
            `MOST_TOKENS`, or the same tokens; both words mean the same token; the model prefers the target to the other token
            by as much after both texts.
    """
    reads = read_passage(model, text), read_passage(model, other)
    _check_pair(*reads)
    check_length(reads[0], PatchingView.NAME, MOST_TOKENS)
    decoder = model.decoder
    names = [f"blocks.{layer}.residual_in" for layer in range(model.config.layers)]
    states_TD, tape = record(decoder, reads[0].ids, *names)
    other_states_TD = record(decoder, reads[1].ids)[0]
    logits_2V = torch.cat(list(logits_in_chunks(decoder, torch.stack((states_TD[-1], other_states_TD[-1])))))
    contrast = _contrast(model, reads, logits_2V, target, against)
    contrast_value, other_value = contrast.of(logits_2V).tolist()
    difference = contrast_value - other_value
    _check_difference(contrast, difference)

    restored: list[Tensor] = []
    gaps: dict[str, list[float]] = {"patching_everything": [], "patching_nothing": []}
    for layer, name in enumerate(names):
        watch("patching states", layer, len(names))
        values_B = _patch_each(model, reads[1], name, tape[name][0], contrast)
        restored.append((values_B[:-2] - other_value) / difference)
        gaps["patching_everything"].append(abs(values_B[-2].item() - contrast_value))
        gaps["patching_nothing"].append(abs(values_B[-1].item() - other_value))
    return PatchingView(
        model=ModelFacts.of(model),
        input=reads[0],
        checks=tuple(SelfCheck(name, largest(each), "logits", limit_in(decoder.dtype, LIMIT)) for name, each in gaps.items()),
        caveats=("patch.direction", "causal.left_only"),
        other=reads[1],
        contrast=contrast,
        other_value=other_value,
        small=abs(difference) < SMALL,
        rows=("embedding", *map(str, range(model.config.layers - 1))),
        restored=torch.stack(restored).numpy(),
    )


def _check_pair(read: Passage, other: Passage) -> None:
    counts = len(read.ids), len(other.ids)
    if counts[0] != counts[1]:
        raise LiuliError(
            f"{read.text!r} has {counts[0]} tokens and {other.text!r} has {counts[1]}: this view needs two texts with the same "
            f"number of tokens, which differ in a word"
        )
    if read.ids == other.ids:
        raise LiuliError(f"{read.text!r} and {other.text!r} have the same tokens: give two texts that differ in a word")


def _contrast(
    model: Model, reads: tuple[Passage, Passage], logits_2V: Tensor, target: str | None, against: str | None
) -> Contrast:
    """The most likely tokens after both texts, unless words are given."""
    assert model.tokenizer is not None
    likeliest = logits_2V.argmax(-1).tolist()
    target_word = None if target is None else next_word(model, reads[0], target)
    against_word = None if against is None else next_word(model, reads[1], against)
    target_id = likeliest[0] if target_word is None else target_word.token.id
    against_id = likeliest[1] if against_word is None else against_word.token.id
    if target_id == against_id:
        name = model.tokenizer.token(target_id).text
        if target_word is None and against_word is None:
            raise LiuliError(f"the model predicts {name!r} after both texts: give texts that it continues with different words")
        raise LiuliError(f"the token {name!r} would be compared with itself: give a word that begins with another token")
    return contrast_of(model, logits_2V[0], (target_id, against_id), (target_word, against_word))


def _check_difference(contrast: Contrast, difference: float) -> None:
    """Raises LiuliError if there is nothing to restore: every share would be the quotient of two rounding errors."""
    if abs(difference) < LEAST:
        names = f"{contrast.target.text!r} and {contrast.other.text!r}"
        raise LiuliError(
            f"the logits of {names} differ by {contrast.value:.3f} after both texts, so there is no difference to restore: "
            f"give another word, or texts after which the model predicts different words"
        )


@torch.inference_mode()
def _patch_each(model: Model, read: Passage, name: str, from_TD: Tensor, contrast: Contrast) -> Tensor:
    """The contrast with the state of each token replaced alone, then of all tokens, then of none: (T + 2,)."""
    tokens = len(read.ids)
    replaced_BT = torch.cat((torch.eye(tokens), torch.ones(1, tokens), torch.zeros(1, tokens))).bool().to(from_TD.device)
    found = []
    for part_BT in replaced_BT.split(rows_at_once(read.ids)):
        tap = replacing(name, lambda x_BTD, part_BT=part_BT: torch.where(part_BT[..., None], from_TD, x_BTD))
        found.append(contrasts(model.decoder, read.ids, len(part_BT), tap, contrast).cpu())
    return torch.cat(found)
