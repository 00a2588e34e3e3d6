"""A text as a model reads it: the tokens of the input of a view, each with the characters that it covers.

Byte-level tokenizers split rare characters into several tokens. Such a token has no text of its own, so `shown` is the whole
character, and `part` says which of its tokens this is: 刚 in two tokens is shown as 刚 twice, with parts (0, 2) and (1, 2).
"""

import re
from dataclasses import dataclass

from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.generate.model import Model
from liuli.tokens import Token
from liuli.tokens.scripts import kind_of

UNSPACED = frozenset(  # scripts that put no spaces between words, so that no boundary of a word can be seen
    {"Han", "Hiragana", "Katakana", "Bopomofo", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"}
)


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

    def occurrences(self, word: str) -> list[int]:
        """The characters at which `word` begins. If the script separates words by spaces, an occurrence inside a longer word is
        left out: "he" is not meant by "The". If the word occurs only inside longer words, these are returned.

        Raises:
            LiuliError: the word does not occur, or is empty.
        """
        starts = [start for start in range(len(self.text)) if word and self.text.startswith(word, start)]
        if not starts:
            other = re.search(re.escape(word), self.text, re.IGNORECASE) if word else None
            in_other_case = f", but {other[0]!r} does" if other else ""
            raise LiuliError(f"{word!r} does not occur in {self.text!r}{in_other_case}: give a part of the text")
        return [start for start in starts if not self._is_inside_a_word(start, start + len(word))] or starts

    def _is_inside_a_word(self, start: int, end: int) -> bool:
        """Whether a word of a script with spaces continues before or after these characters."""
        return any(
            0 < at < len(self.text) and all(map(_is_of_a_spaced_word, self.text[at - 1 : at + 1])) for at in (start, end)
        )

    def tokens_at(self, start: int, end: int) -> tuple[int, int]:
        """The first token and the token after the last that cover the characters from `start` to before `end`. They can cover
        more.

        Raises:
            LiuliError: no token covers them.
        """
        inside = [token.index for token in self.tokens if token.span[0] < end and token.span[1] > start]
        if not inside:
            part = self.text[start:end]
            raise LiuliError(f"the tokenizer leaves {part!r} out of {self.text!r}: give a word that has tokens")
        return inside[0], inside[-1] + 1

    def covered(self, first: int, end: int) -> str:
        """The characters that the tokens from `first` to before `end` cover."""
        spans = [token.span for token in self.tokens[first:end]]
        return self.text[min(start for start, _ in spans) : max(stop for _, stop in spans)]


def read_passage(model: Model, text: str, most: int | None = None) -> Passage:
    """Returns `text` as `model` reads it as a prompt: with its begin token, and with special tokens read as such.

    Args:
        most: how many tokens the view can show; None: as many as the context has.

    Raises:
        LiuliError: the model has no tokenizer; the text is empty, cannot be encoded, does not fit the context, or has more than
            `most` tokens.
    """
    if model.tokenizer is None:
        raise LiuliError(f"{model.path} contains no tokenizer, so it cannot read a text: add its tokenizer files")
    tokens = model.tokenizer.tokens(text, prompt=True)
    if not tokens:
        raise LiuliError("the text has no tokens: give a text of at least one character")
    if len(tokens) > model.config.context:
        counts = f"{len(tokens)} tokens do not fit the context of {model.config.context} tokens of {model.path}"
        raise LiuliError(f"{counts}: give a shorter text")
    if most is not None and len(tokens) > most:
        raise LiuliError(f"this view reads at most {most} tokens, and the text has {len(tokens)}: give a shorter text")
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


def _is_of_a_spaced_word(character: str) -> bool:
    """Whether a character is a letter or a digit of a script that separates words by spaces."""
    return character.isalnum() and kind_of(character) not in UNSPACED


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
