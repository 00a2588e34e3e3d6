"""How much a model prefers one next token to another: the difference of their logits, which several views explain.

Legend of shape suffixes: B rows, T tokens, D width, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.generate.model import Model
from liuli.inside.distributions import logits_in_chunks
from liuli.inside.next_word import NextWord, next_word
from liuli.inside.passage import Passage
from liuli.inside.tape import record
from liuli.model.decoder import Decoder, Tap
from liuli.tokens import Token

TOKENS_AT_ONCE = 512  # in one pass over copies of a text
SMALL = 0.5  # logits: a change of the difference that is too small to be divided into shares


@dataclass(frozen=True, slots=True)
class Contrast(Record):
    """Two tokens.

    Attributes:
        target: the token whose prediction is explained. other: what it is compared with.
        value: logit of the target − logit of the other, after the whole text.
        words: those that the user gave, with the tokens that they mean.
    """

    target: Token
    other: Token
    value: float
    words: tuple[NextWord, ...]

    def of(self, logits_BV: Tensor) -> Tensor:
        """The difference of the two logits, (B,)."""
        return logits_BV[:, self.target.id] - logits_BV[:, self.other.id]


def make_contrast(model: Model, read: Passage, target: str | None, other: str | None) -> Contrast:
    """Returns the contrast after a text.

    Args:
        target, other: words whose first token is meant (`next_word`). Default: the two most likely tokens.

    Raises:
        LiuliError: a word has no tokens; both mean the same token.
    """
    states_TD, _ = record(model.decoder, read.ids)
    logits_V = next(logits_in_chunks(model.decoder, states_TD[-1:]))[0]
    target_word = None if target is None else next_word(model, read, target)
    other_word = None if other is None else next_word(model, read, other)
    target_id = int(logits_V.argmax()) if target_word is None else target_word.token.id
    if other_word is None:
        other_id = next(token_id for token_id in logits_V.topk(2).indices.tolist() if token_id != target_id)
    else:
        other_id = other_word.token.id
    if target_id == other_id:
        raise LiuliError(f"{target!r} and {other!r} begin with the same token: give two words with different first tokens")
    return contrast_of(model, logits_V, (target_id, other_id), (target_word, other_word))


def contrast_of(
    model: Model, logits_V: Tensor, ids: tuple[int, int], words: tuple[NextWord | None, NextWord | None]
) -> Contrast:
    """The contrast of the target and the other token.

    Args:
        logits_V: after the whole text.
        words: what the user gave for each of the two.
    """
    assert model.tokenizer is not None
    target, other = map(model.tokenizer.token, ids)
    value = (logits_V[target.id] - logits_V[other.id]).item()
    return Contrast(target, other, value, tuple(word for word in words if word is not None))


def check_length(read: Passage, view: str, most: int) -> None:
    """Raises LiuliError if a text has more than `most` tokens: the view reads it again for every change, and would not end."""
    if len(read.ids) > most:
        counts = f"the view {view} reads at most {most} tokens, and the text has {len(read.ids):,}"
        raise LiuliError(f"{counts}: give a shorter text")


def contrasts(decoder: Decoder, ids: tuple[int, ...], rows: int, tap: Tap, contrast: Contrast) -> Tensor:
    """The contrast of `rows` copies of the same tokens, (B,) fp32, each changed by the tap in its own way. Gradients flow if
    they are enabled."""
    ids_BT = torch.tensor([ids], device=decoder.device).expand(rows, -1)
    states_BTD = decoder.hidden(ids_BT, tap=tap)
    logits_BV = decoder.logits(states_BTD[:, -1])
    return contrast.of(logits_BV.float())


def rows_at_once(ids: Sequence[int]) -> int:
    """How many copies of the same tokens one pass reads."""
    return max(1, TOKENS_AT_ONCE // len(ids))


def replacing(point: str, change: Callable[[Tensor], Tensor]) -> Tap:
    """A tap that replaces the tensor of one point by `change` of it."""
    return lambda name, x: change(x) if name == point else x
