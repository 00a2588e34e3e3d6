"""Interleaves several files, so that a short run sees a part of each.

In: a `TextSplit`. Out: the same documents as `TextSplit.training`. The documents of each file stay in order. The next block is
always from the file of which the smallest share has been read. That share depends on the position alone (document and block),
so reading can resume exactly from a saved position.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from liuli.data.split import TextSplit
from liuli.data.text.blocks import SPAN
from liuli.data.text.sources import Document, Sources

MOST = 64  # lanes, each with an open file
BLOCK = 2 * SPAN  # about the bytes of a block of a long document

Position = tuple[int, int]  # the document's number and the block's of what was read last
BEFORE: Position = (-1, -1)  # everything


@dataclass(frozen=True, slots=True)
class Lane:
    """Neighbouring files, which are read in order.

    Attributes:
        first, end: their documents have the numbers from `first` up to, but not including, `end`.
        mean: the mean size of a document in its file, in bytes.
    """

    first: int
    end: int
    mean: float

    def passed(self, place: Position) -> float:
        """About the share of the lane that has been read, 0 to 1."""
        number, part = place
        if number < self.first:
            return 0.0
        return (number - self.first + min((part + 1) * BLOCK / self.mean, 1.0)) / (self.end - self.first)


def lanes_of(sources: Sources) -> list[Lane]:
    """A lane for each file; if there are more than `MOST`, for neighbours together, so that the lanes are of about one size."""
    files = sources.extents()
    total, behind, found = sum(size for _, size in files), 0, dict[int, list[int]]()
    number = 0
    for count, size in files:
        if count and size:
            at = behind * MOST // total if len(files) > MOST else number
            lane = found.setdefault(at, [number, number, 0])
            lane[1], lane[2] = number + count, lane[2] + size
        number, behind = number + count, behind + size
    return [Lane(first, end, size / (end - first)) for first, end, size in found.values()]


def interleaved(split: TextSplit, lanes: Sequence[Lane], places: Sequence[Position]) -> Iterator[Document]:
    """The training documents after `places`, one for each lane. Raises as `Sources.documents`."""
    reading = [_after(split, lane, place) for lane, place in zip(lanes, places, strict=True)]
    least = [(lane.passed(place), i) for i, (lane, place) in enumerate(zip(lanes, places, strict=True))]
    heapq.heapify(least)
    while least:
        i = least[0][1]
        document = next(reading[i], None)
        if document is None:
            heapq.heappop(least)
        else:
            yield document
            heapq.heapreplace(least, (lanes[i].passed((document.number, document.part)), i))


def _after(split: TextSplit, lane: Lane, place: Position) -> Iterator[Document]:
    for document in split.training(max(place[0], lane.first), lane.end):
        if (document.number, document.part) > place:
            yield document
