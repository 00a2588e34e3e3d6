"""The token that a word means as the next one: the first token of the word, with a space before it if the model would write it
so. After "The capital of France is", the word Paris is the token " Paris" in most vocabularies, and not "Paris".

Legend of shape suffixes: T tokens, D width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.generate.model import Model
from liuli.inside.distributions import logits_in_chunks, logprobs_of
from liuli.inside.passage import Passage
from liuli.inside.tape import record
from liuli.tokens import Token, Tokenizer


@dataclass(frozen=True, slots=True)
class NextWord(Record):
    """A word as the continuation of a text.

    Attributes:
        given: the word as the user gave it.
        text: the same, with a space before it if the model finds that likelier after the text.
        token: the first token of `text`, which is the one that is meant. tokens: how many tokens `text` has.
    """

    given: str
    text: str
    token: Token
    tokens: int


def next_word(model: Model, read: Passage, word: str) -> NextWord:
    """Returns which token a word means after a text.

    The word is tried as it is and with a space before it. The form that the model finds likelier as a whole is taken. A word
    that begins with white space is taken as it is.

    Raises:
        LiuliError: the word has no tokens, or cannot be encoded.
    """
    tokenizer = model.tokenizer
    assert tokenizer is not None
    forms = _forms(tokenizer, word)
    text = word
    if len(forms) > 1:
        text = max(forms, key=lambda form: _logprob(model, read, forms[form]))
    return NextWord(word, text, tokenizer.token(forms[text][0]), len(forms[text]))


def _forms(tokenizer: Tokenizer, word: str) -> dict[str, list[int]]:
    """The ids of the word as it is and with a space before it, by text."""
    ids = tokenizer.encode_on(word)
    if not ids:
        raise LiuliError("a word has no tokens: give a word of at least one character")
    spaced = tokenizer.encode_on(f" {word}")
    # A space that is a token of its own says nothing about the word, so it cannot stand for it.
    joined = bool(tokenizer.token(spaced[0]).text.strip())
    if word[0].isspace() or spaced == ids or not joined:
        return {word: ids}
    return {word: ids, f" {word}": spaced}


@torch.inference_mode()
def _logprob(model: Model, read: Passage, ids: Sequence[int]) -> float:
    """The log-probability of a continuation, in nats, as far as the context has room for it."""
    room = model.config.context - len(read.ids) + 1  # the last token need not be read
    written = list(ids[:room])
    states_TD, _ = record(model.decoder, [*read.ids, *written[:-1]])
    logits_TV = torch.cat(list(logits_in_chunks(model.decoder, states_TD[len(read.ids) - 1 :])))
    return logprobs_of(logits_TV).gather(-1, torch.tensor(written)[:, None]).sum().item()
