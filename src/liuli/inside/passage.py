"""A text as a model reads it: the tokens of the input of a view, each with the characters that it covers.

Byte-level tokenizers split rare characters into several tokens. Such a token has no text of its own, so `shown` is the whole
character, and `part` says which of its tokens this is: 刚 in two tokens is shown as 刚 twice, with parts (0, 2) and (1, 2).
"""

from dataclasses import dataclass

from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.generate.model import Model
from liuli.tokens import Token


@dataclass(frozen=True, slots=True)
class PassageToken(Record):
    """A token at its place in a passage.

    Attributes:
        index: its place, from 0.
        text: its own text; a special token's name; U+FFFD for a part of a character.
        bytes: that it adds to the text; empty for a special token.
        span: the characters of the passage's text that it covers, half-open. (0, 0) for a begin token that was added.
        shown: its text, or the whole character (or characters) if it is only a part.
        part: (k, n): it is the k-th of the n tokens that `shown` consists of. (0, 1) for almost all tokens.
    """

    index: int
    id: int
    text: str
    bytes: tuple[int, ...]
    span: tuple[int, int]
    shown: str
    part: tuple[int, int]
    special: bool


@dataclass(frozen=True, slots=True)
class Passage(Record):
    """A text, its ids, and its tokens. `text` is as given; `tokens` begin with the begin token if the model has one."""

    text: str
    ids: tuple[int, ...]
    tokens: tuple[PassageToken, ...]

    def find(self, word: str) -> tuple[int, int]:
        """The first token and the token after the last that cover the first occurrence of `word`. They can cover more.

        Raises:
            LiuliError: the word does not occur, or is empty; no token covers it.
        """
        start = self.text.find(word)
        if start < 0 or not word:
            raise LiuliError(f"{word!r} does not occur in {self.text!r}: give a part of the text")
        end = start + len(word)
        inside = [token.index for token in self.tokens if token.span[0] < end and token.span[1] > start]
        if not inside:
            raise LiuliError(f"the tokenizer leaves {word!r} out of {self.text!r}: give a word that has tokens")
        return inside[0], inside[-1] + 1

    def covered(self, first: int, end: int) -> str:
        """The characters that the tokens from `first` to before `end` cover."""
        spans = [token.span for token in self.tokens[first:end]]
        return self.text[min(start for start, _ in spans) : max(stop for _, stop in spans)]


def read_passage(model: Model, text: str) -> Passage:
    """Returns `text` as `model` reads it as a prompt: with its begin token, and with special tokens read as such.

    Raises:
        LiuliError: the model has no tokenizer; the text is empty, cannot be encoded, or does not fit the context.
    """
    if model.tokenizer is None:
        raise LiuliError(f"{model.path} contains no tokenizer, so it cannot read a text: add its tokenizer files")
    tokens = model.tokenizer.tokens(text, prompt=True)
    if not tokens:
        raise LiuliError("the text has no tokens: give a text of at least one character")
    if len(tokens) > model.config.context:
        counts = f"{len(tokens)} tokens do not fit the context of {model.config.context} tokens of {model.path}"
        raise LiuliError(f"{counts}: give a shorter text")
    return passage(text, tokens)


def passage(text: str, tokens: list[Token]) -> Passage:
    """Returns the passage of `tokens` that cover `text`."""
    found: list[PassageToken] = []
    for group in _groups(tokens):
        spans = [token.span or (0, 0) for token in group]
        span = min(start for start, _ in spans), max(end for _, end in spans)
        shown = group[0].text if len(group) == 1 else text[slice(*span)]
        for k, (token, own) in enumerate(zip(group, spans, strict=True)):
            place = len(found)
            found.append(
                PassageToken(place, token.id, token.text, tuple(token.bytes), own, shown, (k, len(group)), token.special)
            )
    return Passage(text, tuple(token.id for token in tokens), tuple(found))


def _groups(tokens: list[Token]) -> list[list[Token]]:
    """Tokens that share a character are in one group."""
    groups: list[list[Token]] = []
    for token in tokens:
        last = groups[-1][-1] if groups else None
        if last and last.span and token.span and not token.special and not last.special and _overlap(last.span, token.span):
            groups[-1].append(token)
        else:
            groups.append([token])
    return groups


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return max(one[0], other[0]) < min(one[1], other[1])
