"""From the parts of documents, as ids, to pieces that fit a row.

A piece of n + 1 ids holds n places of a row: each of its ids but the last is read there, and the next is to be predicted.
A document that fits a row is one piece. A longer one is cut at a seeded offset, then every `length` places; two pieces
share the id at the cut (read in one, predicted in the other), so that every id is predicted exactly once.
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
    """`ids[0]` is number `at` of the ids of document `number`; ids of blocks that are held out do not count. `supervised`: of
    each id, whether it is to be predicted; None: all are. `weights`: of each id, how much it counts, fp32; None: 1."""

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
    """Joins the adjacent parts of a document and cuts them into pieces of at most `length` places.

    The fields are all that it remembers between two parts: `seed` of where it begins to cut (None: full pieces from the
    beginning on), `number` and `part` of the part that came last, the ids that
    are in no piece yet (the first of them maybe the last of a piece), where they begin in the document, whether it was
    cut already.
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
        """What is left, when nothing adjacent will come."""
        if len(self.waiting) > 1:
            yield self._take(len(self.waiting) - 1)
        self.at += len(self.waiting)
        self.waiting, self.cut = NOTHING, False

    def _take(self, places: int) -> Piece:
        piece = Piece(self.waiting[: places + 1].copy(), self.number, self.at)
        self.waiting, self.at = self.waiting[places:], self.at + places
        return piece

    def _offset(self) -> int:
        """Where a long document is first cut: 1 to `length`, by seed and document; without a seed at `length`."""
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
