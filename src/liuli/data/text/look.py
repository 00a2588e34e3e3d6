"""What one wants to know of a corpus before training on it, from one pass over it.

In: a `Split`. Out: a `Look`: how much of what, in which scripts, how long, how often the same, what was left out and why.
"""

from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from liuli.data.split import Split
from liuli.data.text.sources import Document, Skipped
from liuli.tokens.scripts import kind_of

SAMPLES = 5
SAMPLE_LENGTH = 200  # characters
BATCH = 1 << 20  # characters counted at a time


@dataclass(frozen=True, slots=True)
class Amount:
    """How much text. Blocks are what `Sources` gives: whole documents, or parts of those longer than about 16 kB."""

    blocks: int
    characters: int
    bytes: int  # of UTF-8


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of whole documents, held out or not, in characters. `median`: of an even number of lengths the mean of the two in the
    middle; `p95`: the smallest length that 95 % do not exceed."""

    min: int
    median: float
    mean: float
    p95: int
    max: int


@dataclass(frozen=True, slots=True)
class Excerpt:
    """How a block begins. Blocks at even distances are shown, but none of white space alone."""

    source: str
    part: int
    text: str
    cut: bool  # whether the block goes on


@dataclass(frozen=True, slots=True)
class Look:
    """`scripts`: characters of each script or kind, the most frequent first; `distinct`: how many different characters.
    `duplicates`: documents whose whole text came before. `validation` and `how`: what is held out, and by which rule.
    `shared`: documents of a validation file whose whole text is trained on too."""

    documents: int
    total: Amount
    validation: Amount
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


def look(split: Split) -> Look:
    """Reads all of it once, in bounded memory (8 bytes a document and as many as there are different characters).

    Raises:
        LiuliError: as `Sources.documents`.
    """
    lengths, samples, characters = array("q"), Samples(), Characters()
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
        samples.add(document)
    sources = [split.sources, split.other] if split.other else [split.sources]
    return Look(
        documents=len(lengths),
        total=Amount(*total),
        validation=Amount(*kept_out),
        how=split.how,
        shared=split.shared,
        scripts=characters.scripts(),
        distinct=characters.distinct,
        lengths=_lengths(lengths),
        duplicates=sum(each.duplicates for each in sources),
        dropped_marks=sum(each.marks for each in sources),
        skipped=[skipped for each in sources for skipped in each.skipped],
        samples=samples.chosen(),
    )


def _blocks(split: Split) -> Iterator[tuple[Document, str]]:
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


class Characters:
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


class Samples:
    """Blocks at even distances of a stream whose length is not known: every time too many are kept, every other one goes."""

    def __init__(self) -> None:
        self._kept: list[Excerpt] = []
        self._every = 1
        self._count = 0

    def add(self, document: Document) -> None:
        if self._count % self._every == 0:
            if len(self._kept) == 4 * SAMPLES:
                self._kept, self._every = self._kept[::2], 2 * self._every
            start = document.text[:SAMPLE_LENGTH]
            if self._count % self._every == 0:
                self._kept.append(Excerpt(document.source, document.part, start, len(start) < len(document.text)))
        self._count += 1

    def chosen(self) -> list[Excerpt]:
        kept = [excerpt for excerpt in self._kept if not excerpt.text.isspace()]
        return [kept[i * len(kept) // min(SAMPLES, len(kept))] for i in range(min(SAMPLES, len(kept)))]


def _lengths(lengths: "array[int]") -> Lengths:
    all = np.frombuffer(lengths, np.int64)
    p95 = int(np.quantile(all, 0.95, method="inverted_cdf"))
    return Lengths(int(all.min()), float(np.median(all)), float(all.mean()), p95, int(all.max()))
