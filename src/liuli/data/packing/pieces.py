"""From the parts of documents, as ids, to pieces that fit a row.

A piece of n + 1 ids takes n positions of a row: each of its ids except the last is an input, and the next is its target.
A document that fits a row is one piece. A longer one is split at a seeded offset, then every `length` positions. Two pieces
share the id at the split (target in one, input in the other), so that every id is a target exactly once.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from liuli.data.text.sources import Document
from liuli.tokens import Tokenizer

Ids = NDArray[np.int32]
NOTHING: Ids = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class Part:
    """A document, or one block of it, as ids, with its begin and end tokens where it begins and ends (see
    `liuli.data.text.sources.Document`)."""

    ids: Ids
    number: int
    part: int
    last: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """`ids[0]` is number `at` of the ids of document `number`, without the ids of held-out blocks. `supervised`: for each id,
    whether it is a target; None: all are. `weights`: for each id, its weight in the loss, fp32; None: 1."""

    ids: Ids
    number: int
    at: int
    supervised: NDArray[np.bool_] | None = None
    weights: NDArray[np.float32] | None = None

    @property
    def places(self) -> int:
        return len(self.ids) - 1


@dataclass(slots=True)
class Cutter:
    """Joins the adjacent parts of a document and splits them into pieces of at most `length` positions.

    The fields are its whole state between two parts: the `seed` of the first split (None: full pieces from the beginning);
    `number` and `part` of the last part; `waiting`: the ids that are in no piece yet (the first may be the last of a piece);
    `at`: where they begin in the document; `cut`: whether the document has been split.
    """

    length: int
    seed: str | None
    number: int = -1
    part: int = -1
    waiting: Ids = field(default_factory=NOTHING.copy)
    at: int = 0
    cut: bool = False

    def add(self, part: Part) -> Iterator[Piece]:
        """The pieces that are complete now."""
        if (part.number, part.part) != (self.number, self.part + 1):
            yield from self.finish()  # a block between the two is held out, or another document begins
        if part.number != self.number:
            self.at = 0
        self.number, self.part = part.number, part.part
        self.waiting = np.concatenate((self.waiting, part.ids))
        while len(self.waiting) - 1 > self.length:
            yield self._take(self.length if self.cut else self._offset())
            self.cut = True
        if part.last:
            yield from self.finish()

    def finish(self) -> Iterator[Piece]:
        """The rest, when no adjacent part follows."""
        if len(self.waiting) > 1:
            yield self._take(len(self.waiting) - 1)
        self.at += len(self.waiting)
        self.waiting, self.cut = NOTHING, False

    def _take(self, places: int) -> Piece:
        piece = Piece(self.waiting[: places + 1].copy(), self.number, self.at)
        self.waiting, self.at = self.waiting[places:], self.at + places
        return piece

    def _offset(self) -> int:
        """Where a long document is first split: 1 to `length`, by seed and document; `length` without a seed."""
        if self.seed is None:
            return self.length
        return 1 + int(random.Random(f"{self.seed} {self.number} {self.at}").random() * self.length)


def encoded(documents: Iterable[Document], tokenizer: Tokenizer) -> Iterator[Part]:
    """Documents as ids."""
    begin, end = np.array(tokenizer.begin, np.int32), np.array(tokenizer.end, np.int32)
    for document in documents:
        first = document.part == 0 and not document.cut
        encode: Callable[[str], list[int]] = tokenizer.encode if first else tokenizer.encode_on
        ids: Ids = np.array(encode(document.text), np.int32)
        around = (begin if first else begin[:0], ids, end if document.last else end[:0])
        yield Part(np.concatenate(around), document.number, document.part, document.last)
