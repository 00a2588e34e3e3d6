"""Byte-pair encoding: repeatedly merge the pair of neighbours with the lowest rank (the leftmost of equal ones), until no pair
has a rank.

Source: Sennrich, Haddow and Birch 2016, https://aclanthology.org/P16-1162. There are two conventions. In a list of merges, the
*pair* has the rank (GPT-2, `tokenizer.json`). In SentencePiece and tiktoken, the *merged piece* has it. Then two pairs with the
same result ("a"+"aa", "aa"+"a") have equal ranks, and the leftmost is merged. A list of merges cannot express this, so it needs
its own encoder, `RankedEncoder`.
"""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, TypeVar

from liuli.tokens.strings import StringFinder
from liuli.tokens.tokenizer import Added

Piece = TypeVar("Piece", str, bytes)


def merge(
    symbols: Sequence[Piece],
    rank: Callable[[Piece, Piece], int | None],
    note: Callable[[int, Piece, Piece, int], None] = lambda *_: None,
) -> list[Piece]:
    """Returns the pieces that remain when no two neighbours can be merged. O(n log n).

    Args:
        rank: returns the rank of a pair, or None if it cannot be merged.
        note: called for each merge, in order, with the index of the left piece's first symbol, left, right, and the rank.
    """
    pieces: list[Piece | None] = list(symbols)
    after = list(range(1, len(pieces) + 1))
    before = list(range(-1, len(pieces) - 1))
    heap: list[tuple[int, int, Piece, Piece]] = []

    def consider(i: int, j: int) -> None:
        left, right = pieces[i], pieces[j]
        assert left is not None and right is not None
        found = rank(left, right)
        if found is not None:
            heapq.heappush(heap, (found, i, left, right))

    for i in range(len(pieces) - 1):
        consider(i, i + 1)
    while heap:
        found, i, left, right = heapq.heappop(heap)
        j = after[i]
        if pieces[i] != left or j == len(pieces) or pieces[j] != right:
            continue  # one of the two pieces has been merged with another piece in the meantime
        note(i, left, right, found)
        pieces[i], pieces[j] = left + right, None
        after[i] = after[j]
        if after[i] < len(pieces):
            before[after[i]] = i
            consider(i, after[i])
        if before[i] >= 0:
            consider(before[i], i)
    return [piece for piece in pieces if piece is not None]


@dataclass(eq=False)
class RankedEncoder(Generic[Piece]):
    """BPE with a vocabulary whose pieces have the ranks: SentencePiece (`str` pieces) and tiktoken (`bytes`).

    Attributes:
        ids: the id of each piece.
        ranks: the rank of each piece that can result from a merge.
        cut: splits a text into chunks that are encoded separately.
        symbols: splits a chunk into its smallest pieces, all of which are in `ids`.
        texts: the bytes that each id adds to the text, including added tokens.
        added: the tokens in addition to the vocabulary.
        style: see `Encoder`.
        whole: whether a chunk that is itself a piece is not split further, as in tiktoken.
        prefix: the number of characters that are put before the text.
        space: a character that stands for a space.
        cut_on: used instead of `cut` after an added token, if no prefix is put there; None: `cut` is used.
    """

    ids: dict[Piece, int]
    ranks: dict[Piece, int]
    cut: Callable[[str], Iterable[Piece]]
    symbols: Callable[[Piece], list[Piece]]
    texts: dict[int, bytes]
    added: Sequence[Added]
    style: str
    whole: bool
    prefix: int = 0
    space: str = " "
    cut_on: Callable[[str], Iterable[Piece]] | None = None

    def __post_init__(self) -> None:
        self.vocab_size = max(self.texts) + 1
        self.pieces_size = max(self.ids.values()) + 1
        self._cache: dict[Piece, list[int]] = {}

    def reading_as_text(self, texts: frozenset[str]) -> "RankedEncoder[Piece]":
        """See `Encoder`."""
        return replace(self, added=[replace(token, special=token.special or token.text in texts) for token in self.added])

    def rank(self, left: Piece, right: Piece) -> int | None:
        return self.ranks.get(left + right)

    def encode(self, text: str, special: bool = False) -> list[int]:
        ids: list[int] = []
        first = True
        for part, token in self.parts(text, special):
            ids += self.encode_content(part, first) if token is None else [token.id]
            first = False
        return ids

    def encode_content(self, text: str, first: bool = True) -> list[int]:
        return [id for chunk in self.chunks(text, first) for id in self.encode_chunk(chunk)]

    def chunks(self, text: str, first: bool = True) -> Iterable[Piece]:
        """Splits content into chunks that are encoded separately. `first`: whether the content is the beginning of the text; if
        not, there is an added token before it."""
        return self.cut(text) if first or self.cut_on is None else self.cut_on(text)

    def parts(self, text: str, special: bool) -> Iterator[tuple[str, Added | None]]:
        """Yields the parts of a text in order: content (with None), and added tokens with the white space that they include.

        Args:
            special: whether special tokens are read too.
        """
        tokens, finder = self._readable[special]
        at = place = 0  # the end of the last token that was read, and the index at which the search continues
        while (found := finder.find(text, place)) is not None:
            start, end = found
            token = tokens[text[start:end]]
            if token.single_word and not _stands_alone(text, start, end):
                place = start + 1
                continue
            start = _skip_spaces_back(text, start, at) if token.strip_left else start
            end = _skip_spaces(text, end) if token.strip_right else end
            if start > at:
                yield text[at:start], None
            yield text[start:end], token
            at = place = end
        if at < len(text):
            yield text[at:], None

    @cached_property
    def _readable(self) -> dict[bool, tuple[dict[str, Added], StringFinder]]:
        """The added tokens by text, and a finder for them: without special tokens (False), and all of them (True)."""
        found = {}
        for special in (False, True):
            tokens: dict[str, Added] = {}
            for token in self.added:
                if special or not token.special:
                    tokens.setdefault(token.text, token)
            found[special] = tokens, StringFinder(tokens)
        return found

    def encode_chunk(self, chunk: Piece) -> list[int]:
        known = self._cache.get(chunk)
        if known is not None:
            return known
        if self.whole and chunk in self.ids:
            ids = [self.ids[chunk]]
        else:
            ids = [self.ids[piece] for piece in merge(self.symbols(chunk), self.rank)]
        if len(self._cache) >= 100_000:
            self._cache.clear()
        self._cache[chunk] = ids
        return ids

    def spans(self, text: str, special: bool = False) -> list[tuple[int, int, int]]:
        found, at = [], 0
        for part, token in self.parts(text, special):
            inside = self.content_spans(part, at == 0) if token is None else [(token.id, 0, len(part))]
            found += [(id, at + start, at + end) for id, start, end in inside]
            at += len(part)
        return found

    def content_spans(self, text: str, first: bool = True) -> list[tuple[int, int, int]]:
        """Returns `spans` of content. A token with only some bytes of a character covers that character."""
        ids = self.encode_content(text, first)
        starts = [i for i, character in enumerate(text.replace(self.space, " ")) for _ in character.encode()] + [len(text)]
        found, at = [], -self.prefix if first or self.cut_on is None else 0
        for id in ids:
            end = at + len(self.texts[id])
            start, last = starts[max(at, 0)], starts[max(end - 1, 0)]
            found.append((id, start, last + 1 if end > max(at, 0) else start))
            at = end
        return found

    def piece(self, id: int) -> tuple[bytes, bool] | None:
        text = self.texts.get(id)
        return None if text is None else (text, False)


def _is_space(character: str) -> bool:
    """Returns whether a character is white space in Unicode. Python includes four more separators."""
    return character.isspace() and character not in "\x1c\x1d\x1e\x1f"


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Returns whether there is no letter, digit or underscore directly before or after this range."""
    around = text[max(start - 1, 0) : start] + text[end : end + 1]
    return not re.search(r"\w", around)


def _skip_spaces(text: str, at: int) -> int:
    """Returns the end of the white space that begins at `at`."""
    while at < len(text) and _is_space(text[at]):
        at += 1
    return at


def _skip_spaces_back(text: str, at: int, first: int) -> int:
    """Returns the beginning of the white space that ends at `at`, but at least `first`."""
    while at > first and _is_space(text[at - 1]):
        at -= 1
    return at
