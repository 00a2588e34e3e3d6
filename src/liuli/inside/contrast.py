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
from liuli.inside.passage import Passage
from liuli.inside.tape import record
from liuli.model.decoder import Decoder, Tap
from liuli.tokens import Token

TOKENS_AT_ONCE = 512  # in one pass over copies of a text


@dataclass(frozen=True, slots=True)
class Contrast(Record):
    """Two tokens.

    Attributes:
        target: the token whose prediction is explained. other: what it is compared with.
        value: logit of the target − logit of the other, after the whole text.
    """

    target: Token
    other: Token
    value: float

    def of(self, logits_BV: Tensor) -> Tensor:
        """The difference of the two logits, (B,)."""
        return logits_BV[:, self.target.id] - logits_BV[:, self.other.id]


def make_contrast(model: Model, read: Passage, target: str | None, other: str | None) -> Contrast:
    """Returns the contrast after a text.

    Args:
        target, other: texts whose first token is meant, read as a continuation. Default: the two most likely tokens.

    Raises:
        LiuliError: a text has no tokens; both mean the same token.
    """
    tokenizer = model.tokenizer
    assert tokenizer is not None
    states_TD, _ = record(model.decoder, read.ids)
    logits_V = next(logits_in_chunks(model.decoder, states_TD[-1:]))[0]
    target_id = int(logits_V.argmax()) if target is None else first_token(model, target)
    if other is None:
        other_id = next(token_id for token_id in logits_V.topk(2).indices.tolist() if token_id != target_id)
    else:
        other_id = first_token(model, other)
    if target_id == other_id:
        raise LiuliError(f"{target!r} and {other!r} begin with the same token: give two words with different first tokens")
    value = (logits_V[target_id] - logits_V[other_id]).item()
    return Contrast(tokenizer.token(target_id), tokenizer.token(other_id), value)


def first_token(model: Model, word: str) -> int:
    """The id of the first token of a word, read as a continuation.

    Raises:
        LiuliError: it has no tokens.
    """
    assert model.tokenizer is not None
    ids = model.tokenizer.encode_on(word)
    if not ids:
        raise LiuliError("a word has no tokens: give a word of at least one character")
    return ids[0]


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
