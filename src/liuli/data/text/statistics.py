"""Statistics of a corpus, to check before training on it, from one pass over it.

In: a `TextSplit`. Out: how much text there is, in which scripts, how long the documents are, how many are duplicates, what was
skipped and why.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from liuli.data.records.skipped import Skipped
from liuli.data.split import TextSplit
from liuli.data.text.sources import Document
from liuli.tokens.scripts import kind_of

SAMPLES = 5
SAMPLE_LENGTH = 200  # characters
BATCH = 1 << 20  # characters counted at a time

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TextAmount:
    """How much text.

    Attributes:
        blocks: what `Sources` gives: whole documents, or parts of those longer than about 16 kB.
        bytes: of UTF-8.
    """

    blocks: int
    characters: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long things are, such as whole documents, held out or not, in characters.

    Attributes:
        median: of an even number of lengths the mean of the two in the middle.
        p95: the smallest length that 95 % of them do not exceed.
    """

    min: int
    median: float
    mean: float
    p95: int
    max: int


@dataclass(frozen=True, slots=True)
class Excerpt:
    """How a block begins. Blocks at even distances are shown, except those of white space alone.

    Attributes:
        cut: the block continues after the text.
    """

    source: str
    part: int
    text: str
    cut: bool


@dataclass(frozen=True, slots=True)
class CorpusStatistics:
    """The statistics of a corpus.

    Attributes:
        validation: the part of `total` that is held out.
        how: the rule by which it is held out.
        shared: the number of documents of a validation file whose whole text is trained on too.
        scripts: the number of characters of each script or kind, the most frequent first.
        distinct: the number of different characters.
        duplicates: the number of documents that have the whole text of an earlier one.
        dropped_marks: the number of dropped byte order marks.
    """

    documents: int
    total: TextAmount
    validation: TextAmount
    how: str
    shared: int
    scripts: dict[str, int]
    distinct: int
    lengths: Lengths
    duplicates: int
    dropped_marks: int
    skipped: list[Skipped]
    samples: list[Excerpt]

    def to_json(self) -> dict[str, Any]:
        """As plain objects; counts of characters and bytes, no shares."""
        return asdict(self)


def corpus_statistics(split: TextSplit) -> CorpusStatistics:
    """Reads a corpus once, in bounded memory (8 bytes per document and per different character).

    Raises:
        LiuliError: as `Sources.documents`.
    """
    lengths, samples, characters = array("q"), EvenSampler[Excerpt](), CharacterCounts()
    total, kept_out = [0, 0, 0], [0, 0, 0]
    number = -1, False  # of the document that is being read, and from which of the two sources
    for document, held in _blocks(split):
        size = characters.add(document.text)
        _add(total, document.text, size)
        if held:
            _add(kept_out, held, size if held == document.text else len(held.encode()))
        now = document.number, bool(split.other and held)
        if now == number:
            lengths[-1] += len(document.text)
        else:
            lengths.append(len(document.text))
            number = now
        samples.add(_excerpt(document))
    sources = [split.sources, split.other] if split.other else [split.sources]
    return CorpusStatistics(
        documents=len(lengths),
        total=TextAmount(*total),
        validation=TextAmount(*kept_out),
        how=split.how,
        shared=split.shared,
        scripts=characters.scripts(),
        distinct=characters.distinct,
        lengths=lengths_of(lengths),
        duplicates=sum(each.duplicates for each in sources),
        dropped_marks=sum(each.marks for each in sources),
        skipped=[skipped for each in sources for skipped in each.skipped],
        samples=samples.chosen(lambda excerpt: not excerpt.text.isspace()),
    )


def _excerpt(document: Document) -> Excerpt:
    start = document.text[:SAMPLE_LENGTH]
    return Excerpt(document.source, document.part, start, len(start) < len(document.text))


def _blocks(split: TextSplit) -> Iterator[tuple[Document, str]]:
    """Each block and the text of it that is held out. The two sides of a divided block are one again."""
    before = ""
    for held, document in split.documents():
        divided = split.edge is not None and (document.number, document.part) == split.edge[:2]
        if divided and not held:
            before = document.text
        else:
            whole = replace(document, text=before + document.text) if divided else document
            yield whole, document.text if held else ""


def _add(amount: list[int], text: str, size: int) -> None:
    for i, more in enumerate((1, len(text), size)):
        amount[i] += more


class CharacterCounts:
    """How often each character comes: exact, and counted many at a time."""

    def __init__(self) -> None:
        self._counts = np.zeros(0x110000, np.int64)
        self._texts: list[str] = []
        self._size = 0

    def add(self, text: str) -> int:
        """Counts the text; its bytes in UTF-8."""
        self._texts.append(text)
        self._size += len(text)
        if self._size >= BATCH:
            self._flush()
        return len(text.encode())

    def _flush(self) -> None:
        codes = np.frombuffer("".join(self._texts).encode("utf-32-le"), np.uint32)
        counts = np.bincount(codes)
        self._counts[: len(counts)] += counts
        self._texts, self._size = [], 0

    @property
    def distinct(self) -> int:
        self._flush()
        return int(np.count_nonzero(self._counts))

    def scripts(self) -> dict[str, int]:
        self._flush()
        found: dict[str, int] = {}
        for code in np.flatnonzero(self._counts):
            name = kind_of(chr(code))
            found[name] = found.get(name, 0) + int(self._counts[code])
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))


class EvenSampler(Generic[T]):
    """Items at even distances of a stream whose length is not known: every time too many are kept, every other one goes."""

    def __init__(self) -> None:
        self._kept: list[T] = []
        self._every = 1
        self._count = 0

    def add(self, item: T) -> None:
        if self._count % self._every == 0:
            if len(self._kept) == 4 * SAMPLES:
                self._kept, self._every = self._kept[::2], 2 * self._every
            if self._count % self._every == 0:
                self._kept.append(item)
        self._count += 1

    def chosen(self, good: Callable[[T], bool] = lambda item: True) -> list[T]:
        """At most `SAMPLES` of those that are good."""
        kept = list(filter(good, self._kept))
        return [kept[i * len(kept) // min(SAMPLES, len(kept))] for i in range(min(SAMPLES, len(kept)))]


def lengths_of(lengths: "array[int]") -> Lengths:
    """Of at least one thing. `lengths`: 8-byte integers."""
    found = np.frombuffer(lengths, np.int64)
    p95 = int(np.quantile(found, 0.95, method="inverted_cdf"))
    return Lengths(int(found.min()), float(np.median(found)), float(found.mean()), p95, int(found.max()))
