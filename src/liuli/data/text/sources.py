"""Documents from files, folders, standard input and the hub: streamed, in a fixed order, with nothing lost silently.

A source is any list of names: files and folders of `.txt .md .jsonl .json` (also `.gz`, `.zst`) and `.parquet`, `-` for
standard input, `hub:owner/dataset`, or a folder or file of a dataset, `hub:owner/dataset/path`.
A `.txt` or `.md` is one document; a line, object or row with `text` is one each.
Every byte of a text stays as it is, line ends too; only a byte order mark at the beginning of a file is dropped, and counted.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from liuli.data.text.files import File, Problem, Unreadable, advised, find_files
from liuli.data.text.records import Reader, read
from liuli.data.text.texts import Text
from liuli.errors import LiuliError

T = TypeVar("T")
NAMED = 10  # files that are named for each sort of problem; all are counted


@dataclass(frozen=True, slots=True)
class Document:
    """A text, or one block of a long one (more than about 16 kB of UTF-8): the parts of a document join to its text.

    `source` says for people where it is from: `novels/红楼梦.txt`, `corpus.jsonl:17`, `hub:owner/name/file.parquet:3`.
    `number` is the document's place in the whole source, from 0. What is skipped keeps its number, so that numbers may jump;
    they never come twice or go back. `part` counts from 0, and `last` is True for the last. `cut`: the text begins in the
    middle of its part, the beginning of which is trained on.
    """

    text: str
    source: str
    number: int
    part: int = 0
    last: bool = True
    cut: bool = False


@dataclass(slots=True)
class Place:
    """Where in a file one sort of problem was met first, in words for people, and how often in that file."""

    file: str
    first: str
    count: int = 1

    def __str__(self) -> str:
        return self.first + f" and {self.count - 1:,} more" * (self.count > 1)


@dataclass(slots=True)
class Skipped:
    """One reason for which input was not used and what to do about it (or ""), how often, and the first files."""

    reason: str
    advice: str = ""
    count: int = 0
    places: list[Place] = field(default_factory=list)

    def __str__(self) -> str:
        """All on one line."""
        more = f" and {self.count - 1:,} more" * (self.count > 1)
        return advised(f"{self.count:,} × {self.reason}: {self.places[0].first}{more}", self.advice)

    @property
    def heading(self) -> str:
        return advised(f"{self.count:,} × {self.reason}", self.advice)

    @property
    def elsewhere(self) -> int:
        """How many lie in files that are not named."""
        return self.count - sum(place.count for place in self.places)

    def add(self, file: str, place: str) -> None:
        self.count += 1
        if self.places and self.places[-1].file == file:
            self.places[-1].count += 1
        elif len(self.places) < NAMED:
            self.places.append(Place(file, place))


@dataclass(slots=True)
class Pass:
    """What one pass over the sources has met so far. Nothing but its own generator writes to it."""

    strict: bool
    skipped: dict[str, Skipped] = field(default_factory=dict)
    duplicates: int = 0
    marks: int = 0

    def skip(self, file: File, place: str, problem: Problem) -> None:
        if self.strict:
            raise LiuliError(problem.at(place))
        skipped = self.skipped.setdefault(problem.reason, Skipped(problem.reason, problem.advice))
        skipped.add(file.name, problem.where(place))

    def records(self, file: File, reader: Reader[T], start: int = 0) -> Iterator[tuple[int, T]]:
        """The good records of one file from `start` on, each with its index; the others are skipped."""
        try:
            for index, found in reader.records(start):
                if isinstance(found, Problem):
                    self.skip(file, reader.place(index), found)
                else:
                    yield index, found
        except Unreadable as error:
            if error.problem.no_text and file.named:
                raise LiuliError(error.problem.at(file.name)) from None
            self.skip(file, file.name, error.problem)

    def nothing(self, what: str, names: Sequence[str]) -> LiuliError:
        """That nothing at all was found, and why."""
        why = ", and ".join(map(str, self.skipped.values())) or "it holds no files"
        return LiuliError(f"no {what} found in {', '.join(names)}: {why}")


class Sources:
    """All documents behind some names.

    `skipped`, `duplicates` (documents whose whole text came before; a digest of 128 bits decides) and `marks` (byte order
    marks dropped) tell of the pass that began last, as far as it has come: any number of passes may go on side by side.

    Args:
        names: files, folders, `-`, `hub:…`; one alone may be given as it is.
        strict: stop at the first problem instead of skipping and counting it.
        dedup: leave out documents whose whole text came before.

    Raises:
        LiuliError: a name has nothing behind it; while streaming, what cannot be passed over (see `documents`).
    """

    def __init__(self, names: str | os.PathLike[str] | Sequence[str], strict: bool = False, dedup: bool = False):
        self.names = [os.fspath(names)] if isinstance(names, (str, os.PathLike)) else list(names)
        self.strict, self.dedup = strict, dedup
        self.files = find_files(self.names)
        self._readers = [opened(file, read) for file in self.files]
        self._latest = Pass(strict)

    @property
    def skipped(self) -> list[Skipped]:
        return list(self._latest.skipped.values())

    @property
    def duplicates(self) -> int:
        return self._latest.duplicates

    @property
    def marks(self) -> int:
        return self._latest.marks

    def extents(self) -> list[tuple[int, int]]:
        """Of each file, in order: how many documents it holds, good and bad, and its bytes."""
        counts = (0 if isinstance(reader, Problem) else reader.count() for reader in self._readers)
        return [(count, file.stamp[0]) for count, file in zip(counts, self.files, strict=True)]

    def documents(self, start: int = 0, end: int | None = None) -> Iterator[Document]:
        """The documents from number `start` on, up to number `end`. Every call streams the same again.

        Where the format allows, what comes before `start` is not decoded (`dedup` has to know it all the same). A reading
        with an `end` is not counted in what is `skipped`.

        Raises:
            LiuliError: there is no text at all; a file changes while it is read; a file that the user named holds no text;
                anything that would be skipped, where `strict`.
        """
        for number, source, text in self.texts(start, end):
            yield from _parts(text, source, number)

    def texts(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, str, Text]]:
        """The number, source and `Text` of each document, whole, in the same order. Raises as `documents`."""
        this = Pass(self.strict)
        if end is None:
            self._latest = this
        seen, base, some = Seen(), 0, False
        for file, reader in zip(self.files, self._readers, strict=True):
            if end is not None and base >= end:
                return
            if isinstance(reader, Problem):
                this.skip(file, file.name, reader)
                continue
            if self.dedup or start <= base or start < base + reader.count():
                for index, text in this.records(file, reader, 0 if self.dedup else max(0, start - base)):
                    if end is not None and base + index >= end:
                        return
                    this.marks += text.marked
                    again = seen.add(text.digest)
                    this.duplicates += again
                    if not (again and self.dedup):
                        some = True
                        if base + index >= start:
                            yield base + index, reader.place(index), text
            base += reader.count()
        if not some and start == 0 and end is None:
            raise this.nothing("text", self.names)


def opened(file: File, read: Callable[[File], Reader[T]]) -> Reader[T] | Problem:
    """The reader that `read` has for it, or why there is none."""
    try:
        return read(file)
    except Unreadable as error:
        return error.problem


def _parts(text: Text, source: str, number: int) -> Iterator[Document]:
    if isinstance(text.blocks, tuple):
        yield Document(text.blocks[0], source, number)
        return
    for part, (block, last) in enumerate(_marking_last(text.blocks)):
        yield Document(block, source, number, part, last)


def _marking_last(blocks: Iterable[str]) -> Iterator[tuple[str, bool]]:
    held = None
    for block in blocks:
        if held is not None:
            yield held, False
        held = block
    if held is not None:
        yield held, True


class Seen:
    """A set of 16-byte digests in about 16 bytes each (Python's own takes 100): a run of tails for each first two bytes."""

    def __init__(self) -> None:
        self._tails: defaultdict[bytes, bytearray] = defaultdict(bytearray)

    def add(self, digest: bytes) -> bool:
        """Puts it in; whether it was there."""
        there = digest in self
        if not there:
            self._tails[digest[:2]] += digest[2:]
        return there

    def __contains__(self, digest: bytes) -> bool:
        tails, tail = self._tails[digest[:2]], digest[2:]
        at = tails.find(tail)
        while at >= 0 and at % len(tail):
            at = tails.find(tail, at + 1)
        return at >= 0
