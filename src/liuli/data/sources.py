"""Documents from files, folders, standard input and the hub: streamed, in a fixed order, with nothing lost silently.

A source is any list of names: files and folders of `.txt .md .jsonl .json` (also `.gz`, `.zst`) and `.parquet`, `-` for
standard input, `hub:owner/dataset`. A `.txt` or `.md` is one document; a line, object or row with `text` is one each.
Every byte of a text stays as it is, line ends too; only a byte order mark at the beginning of a file is dropped, and counted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from liuli.data.files import File, Problem, Unreadable, find_files
from liuli.data.records import Reader, read
from liuli.data.texts import Text
from liuli.errors import LiuliError

NAMED, NAMED_IN_FILE = 10, 3  # places of each sort of problem that are named, and those in one file; all are counted


@dataclass(frozen=True, slots=True)
class Document:
    """A text, or one block of a long one (more than about 16 kB of UTF-8): the parts of a document join to its text.

    `source` says for people where it is from: `novels/红楼梦.txt`, `corpus.jsonl:17`, `hub:owner/name/file.parquet:3`.
    `number` is the document's place in the whole source, from 0. What is skipped keeps its number, so that numbers may jump;
    they never come twice or go back. `part` counts from 0, and `last` is True for the last.
    """

    text: str
    source: str
    number: int
    part: int = 0
    last: bool = True


@dataclass(slots=True)
class Skipped:
    """One reason for which input was not used and what to do about it (or ""), how often, and the first places."""

    reason: str
    advice: str = ""
    count: int = 0
    places: list[str] = field(default_factory=list)


class Sources:
    """All documents behind some names.

    `skipped`, `duplicates` (documents whose whole text came before; a digest of 128 bits decides) and `marks` (byte order
    marks dropped) tell of the pass that began last, as far as it has come.

    Args:
        strict: stop at the first problem instead of skipping and counting it.
        dedup: leave out documents whose whole text came before.

    Raises:
        LiuliError: a name has nothing behind it; while streaming, what cannot be passed over (see `documents`).
    """

    def __init__(self, names: Sequence[str], strict: bool = False, dedup: bool = False):
        self.names, self.strict, self.dedup = list(names), strict, dedup
        self.files = find_files(self.names)
        self._readers: list[Reader | Problem] = [_reader(file) for file in self.files]
        self._begin()

    @property
    def skipped(self) -> list[Skipped]:
        return list(self._skipped.values())

    def documents(self, start: int = 0) -> Iterator[Document]:
        """The documents from number `start` on. Every call streams the same again.

        Where the format allows, what comes before `start` is not decoded (`dedup` has to know it all the same).

        Raises:
            LiuliError: there is no text at all; a file changes while it is read; a file that the user named holds no text;
                anything that would be skipped, where `strict`.
        """
        self._begin()
        seen, base, some = Seen(), 0, False
        for file, reader in zip(self.files, self._readers, strict=True):
            if isinstance(reader, Problem):
                self._skip(file, file.name, reader)
                continue
            if self.dedup or start <= base or start < base + reader.count():
                for document in self._of_file(file, reader, base, 0 if self.dedup else max(0, start - base), seen):
                    some = True
                    if document.number >= start:
                        yield document
            base += reader.count()
        if not some and start == 0:
            raise LiuliError(self._nothing())

    def _begin(self) -> None:
        self._skipped: dict[str, Skipped] = {}
        self.duplicates = 0
        self.marks = 0

    def _of_file(self, file: File, reader: Reader, base: int, start: int, seen: "Seen") -> Iterator[Document]:
        try:
            for index, found in reader.records(start):
                if isinstance(found, Problem):
                    self._skip(file, reader.place(index), found)
                    continue
                again = seen.add(found.digest)
                self.duplicates += again
                self.marks += found.marked
                if not (again and self.dedup):
                    yield from _parts(found, reader.place(index), base + index)
        except Unreadable as error:
            if error.problem.no_text and file.named:
                raise LiuliError(error.problem.at(file.name)) from None
            self._skip(file, file.name, error.problem)

    def _skip(self, file: File, place: str, problem: Problem) -> None:
        if self.strict:
            raise LiuliError(problem.at(place))
        skipped = self._skipped.setdefault(problem.reason, Skipped(problem.reason, problem.advice))
        skipped.count += 1
        if len(skipped.places) < NAMED and sum(each.startswith(file.name) for each in skipped.places) < NAMED_IN_FILE:
            skipped.places.append(place + f" ({problem.detail})" * bool(problem.detail))

    def _nothing(self) -> str:
        why = [f"{each.count:,} × {each.reason}: {each.places[0]}" for each in self.skipped]
        lines = [line + f"; {each.advice}" * bool(each.advice) for line, each in zip(why, self.skipped, strict=True)]
        return f"no text found in {', '.join(self.names)}: {', and '.join(lines) or 'it holds no files'}"


def _reader(file: File) -> Reader | Problem:
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
        tails, tail = self._tails[digest[:2]], digest[2:]
        at = tails.find(tail)
        while at >= 0 and at % len(tail):
            at = tails.find(tail, at + 1)
        if at < 0:
            tails += tail
        return at >= 0
