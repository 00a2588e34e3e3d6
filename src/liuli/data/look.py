"""What one wants to know of a corpus before training on it, from one pass over it.

In: a `Split`. Out: a `Look`: how much of what, in which scripts, how long, how often the same, what was left out and why.
"""

import re
import unicodedata
from array import array
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from liuli.data.sources import Document, Skipped
from liuli.data.validation import Split

SAMPLES = 5
SAMPLE_LENGTH = 200  # characters
BATCH = 1 << 20  # characters counted at a time
NO_SCRIPTS = ("", "Modifier", "Caron", "Space", "Turned", "Roman", "Vertical", "Masu", "Combining")  # letters of no one script


@dataclass(frozen=True, slots=True)
class Amount:
    """How much text. Blocks are what `Sources` gives: whole documents, or parts of those longer than about 16 kB."""

    blocks: int
    characters: int
    bytes: int  # of UTF-8


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of whole documents, held out or not, in characters. Quantiles are lengths that occur (inverse of the empirical CDF)."""

    min: int
    median: int
    mean: float
    p95: int
    max: int


@dataclass(frozen=True, slots=True)
class Sample:
    """How a block begins. Blocks at even distances are shown, the first among them."""

    source: str
    part: int
    text: str
    cut: bool  # whether the block goes on


@dataclass(frozen=True, slots=True)
class Look:
    """`scripts`: characters of each script or kind, the most frequent first; `distinct`: how many different characters.
    `duplicates`: documents whose whole text came before. `validation` and `how`: what is held out, and by which rule."""

    documents: int
    total: Amount
    validation: Amount
    how: str
    scripts: dict[str, int]
    distinct: int
    lengths: Lengths
    duplicates: int
    dropped_marks: int
    skipped: list[Skipped]
    samples: list[Sample]

    def to_json(self) -> dict[str, Any]:
        """As plain objects; counts of characters and bytes, no shares."""
        return asdict(self)


def look(split: Split) -> Look:
    """Reads all of it once, in bounded memory (8 bytes a document and as many as there are different characters).

    Raises:
        LiuliError: as `Sources.documents`.
    """
    sides = {False: [0, 0, 0], True: [0, 0, 0]}
    lengths, samples, characters = array("q"), Samples(), Characters()
    number = -1, False  # of the document that is being read, and from which of the two sources
    for held, document in split.documents():
        size = characters.add(document.text)
        for i, amount in enumerate((1, len(document.text), size)):
            sides[held][i] += amount
        now = document.number, bool(split.other) and held
        if now == number:
            lengths[-1] += len(document.text)
        else:
            lengths.append(len(document.text))
            number = now
        samples.add(document)
    blocks, count, size = (a + b for a, b in zip(sides[False], sides[True], strict=True))
    sources = [split.sources, split.other] if split.other else [split.sources]
    return Look(
        documents=len(lengths),
        total=Amount(blocks, count, size),
        validation=Amount(*sides[True]),
        how=split.how,
        scripts=characters.scripts(),
        distinct=characters.distinct,
        lengths=_lengths(lengths),
        duplicates=sum(each.duplicates for each in sources),
        dropped_marks=sum(each.marks for each in sources),
        skipped=[skipped for each in sources for skipped in each.skipped],
        samples=samples.chosen(),
    )


def script(character: str) -> str:
    """The script of a letter, which is the first word of its Unicode name (Han, Latin, Hiragana …), or what else it is.
    Compatible forms count as what they stand for: fullwidth letters, ª and µ."""
    name = unicodedata.name(character, "")
    if name.startswith(("CJK ", "IDEOGRAPHIC ", "KANGXI ")) and unicodedata.category(character) in ("Lo", "Lm", "Nl", "So"):
        return "Han"
    match unicodedata.category(character)[0]:
        case "L":
            word = re.split("[ -]", unicodedata.name(unicodedata.normalize("NFKC", character)[0], ""))[0].capitalize()
            return "other" if word in NO_SCRIPTS else word
        case "N":
            return "digits"
        case "P":
            return "punctuation"
        case "S":
            return "symbols"
        case "Z":
            return "white space"
        case "M":
            return "marks"
    return "white space" if character.isspace() else "other"


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
            name = script(chr(code))
            found[name] = found.get(name, 0) + int(self._counts[code])
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))


class Samples:
    """Blocks at even distances of a stream whose length is not known: every time too many are kept, every other one goes."""

    def __init__(self) -> None:
        self._kept: list[Sample] = []
        self._every = 1
        self._count = 0

    def add(self, document: Document) -> None:
        if self._count % self._every == 0:
            if len(self._kept) == 4 * SAMPLES:
                self._kept, self._every = self._kept[::2], 2 * self._every
            start = document.text[:SAMPLE_LENGTH]
            if self._count % self._every == 0:
                self._kept.append(Sample(document.source, document.part, start, len(start) < len(document.text)))
        self._count += 1

    def chosen(self) -> list[Sample]:
        kept = self._kept
        return [kept[i * len(kept) // min(SAMPLES, len(kept))] for i in range(min(SAMPLES, len(kept)))]


def _lengths(lengths: "array[int]") -> Lengths:
    all = np.frombuffer(lengths, np.int64)
    low, middle, p95, high = np.quantile(all, [0, 0.5, 0.95, 1], method="inverted_cdf").tolist()
    return Lengths(int(low), int(middle), float(all.mean()), int(p95), int(high))
