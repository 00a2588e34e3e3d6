"""Reads the records of one file: lines of JSON, or one JSON list. A record that is wrong becomes a `Problem`.

Every record has an index, good or bad, so that a reader can start at a record without decoding all records before it.
"""

import codecs
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO, Any, Generic, TypeVar

from liuli.data.records.bounded_json import json_problem, list_elements, parse_json, shape_problem
from liuli.data.records.problem import Problem, Unreadable
from liuli.data.records.source_files import Format, SourceFile
from liuli.data.records.utf8 import UTF16, UTF16_MARKS, utf8_problem

LARGEST_LIST = 64 << 20  # bytes of one .json file, whose text is held in memory
STEP = 1 << 19  # bytes read at a time
SPACE = b" \t\n\r"  # of JSON
SHOWN = 1000  # elements of a list between two reports of progress

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordKind(Generic[T]):
    """What the records of a file are converted to.

    Attributes:
        make: converts a record, or returns what is wrong with it.
        name: the name of one converted record, for people.
        objects: which objects are expected, for people; `example` shows one.
        longest: the size limit of one record, in bytes.
        shorten: advice for a record that is longer.
    """

    make: Callable[[Any], T | Problem]
    name: str
    objects: str
    example: str
    longest: int
    shorten: str

    @property
    def nothing(self) -> Problem:
        return Problem(f"file without any {self.name}", advice="add content, or remove the file")


class RecordReader(ABC, Generic[T]):
    """The records of one file."""

    def __init__(self, file: SourceFile):
        self.file = file
        self._known_count: int | None = None

    def count(self) -> int:
        """The number of records, good and bad; in a broken file, of those before the damage."""
        if self._known_count is None:
            self._known_count = self._count()
        return self._known_count

    def place(self, index: int) -> str:
        """Where a record is, for people."""
        return f"{self.file.name}:{index + 1}"

    @abstractmethod
    def records(self, start: int = 0) -> Iterator[tuple[int, T | Problem]]:
        """Yields the records from `start` on, each with its index. Raises Unreadable if the file cannot be read (to its
        end)."""

    @abstractmethod
    def _count(self) -> int:
        """Counts the records, decoding as little as possible."""


def format_of(file: SourceFile) -> Format:
    """The format of a file. Raises Unreadable: such a source does not read it, or it is not a regular file."""
    if not file.path.is_file():
        reason = "not a regular file (a device, a pipe, or a link to a folder or to nothing)"
        raise Unreadable(Problem(reason, advice="if it is a link to a folder, give that folder"))
    if not file.format:
        reason = f"unknown file type for {file.formats.what}"
        raise Unreadable(Problem(reason, advice=f"Liuli reads {file.formats.known}"))
    return file.format


class LineReader(RecordReader[T]):
    """A file of lines. A blank line has an index too; it is skipped and not reported."""

    def __init__(self, file: SourceFile, kind: RecordKind[T]):
        super().__init__(file)
        self.kind = kind

    def _count(self) -> int:
        count = 0
        with suppress(Unreadable):
            for _ in self._lines():
                count += 1
        return count

    def records(self, start: int = 0) -> Iterator[tuple[int, T | Problem]]:
        count, some = 0, False
        try:
            for index, line in enumerate(self._lines()):
                count = index + 1
                if line is None or not line.isspace():
                    some = True
                    if index >= start:
                        yield index, self._too_long() if line is None else self._of_line(line)
        except Unreadable:
            self._known_count = count
            raise
        self._known_count = count
        if not some:
            raise Unreadable(self.kind.nothing)

    def _too_long(self) -> Problem:
        return Problem(f"a line longer than {self.kind.longest >> 20} MB", advice=self.kind.shorten)

    @abstractmethod
    def _of_line(self, line: bytes) -> T | Problem:
        """The record in one line, which is not blank."""

    def _lines(self) -> Iterator[bytes | None]:
        """Each line; None for one that is too long to be held in memory."""
        longest = self.kind.longest
        with self.file.open() as stream:
            line = stream.readline(longest).removeprefix(codecs.BOM_UTF8)
            if line.startswith(UTF16_MARKS):  # no line of such a file can be read
                raise Unreadable(UTF16)
            while line:
                if len(line) >= longest - 3 and not line.endswith(b"\n") and _drain(stream):
                    yield None
                else:
                    yield line
                line = stream.readline(longest)


class JsonLineReader(LineReader[T]):
    """A `.jsonl` file: one object per line."""

    def _of_line(self, line: bytes) -> T | Problem:
        found = parse_json(line.rstrip())
        return found if isinstance(found, Problem) else self.kind.make(found)


class JsonListReader(RecordReader[T]):
    """A `.json` file: one list of objects, or a single object. Its text is held in memory, its objects are made one at a time.

    The first pass decodes all of it before it gives the first object: a broken file is not used at all.
    """

    def __init__(self, file: SourceFile, kind: RecordKind[T]):
        super().__init__(file)
        self.kind = kind
        self._checked_count: int | None = None  # of a list that could be decoded to its end

    def _count(self) -> int:
        with suppress(Unreadable):
            self._text()
        return self._checked_count or 0

    def records(self, start: int = 0) -> Iterator[tuple[int, T | Problem]]:
        text = self._text()
        self._known_count = self._checked_count
        for index, value in enumerate(self._elements(text)):
            if index >= start:
                yield index, self.kind.make(value)

    def _text(self) -> str:
        """The text of a list, all of which can be decoded; a single object becomes a list of one. Raises Unreadable: it is
        neither, or it is broken or empty."""
        data = read_whole(self.file, LARGEST_LIST)
        if data.lstrip(SPACE).startswith(b"{"):
            data = b"[%b]" % self._checked_object(data)
        if self._checked_count:
            return data.decode()
        if not data.lstrip(SPACE).startswith(b"["):
            raise Unreadable(self._no_list(data))
        problem = shape_problem(data, listed=True)
        if problem:
            raise Unreadable(problem)
        try:
            text = data.decode()
            del data
            self._checked_count = sum(1 for _ in self._elements(text))
        except UnicodeDecodeError as error:
            raise Unreadable(utf8_problem(error.object, error)) from None
        except (ValueError, RecursionError) as error:
            raise Unreadable(self._broken(json_problem(error))) from None
        if not self._checked_count:
            raise Unreadable(self.kind.nothing)
        return text

    def _elements(self, text: str) -> Iterator[Any]:
        begin = 0
        for index, (value, end) in enumerate(list_elements(text)):
            if end - begin > self.kind.longest:
                reason = f"a record longer than {self.kind.longest >> 20} MB"
                raise Unreadable(Problem(reason, advice=self.kind.shorten))
            if index % SHOWN == 0:
                self.file.show(end / len(text))
            yield value
            begin = end

    def _checked_object(self, data: bytes) -> bytes:
        """The data if all of it is one object. Raises Unreadable: it is broken, or more follows."""
        found = None if self._checked_count else parse_json(data)
        if isinstance(found, Problem):
            raise Unreadable(self._broken(found))
        return data

    def _no_list(self, data: bytes) -> Problem:
        found = parse_json(data)
        if isinstance(found, Problem):
            return self._broken(found)
        advice = f"write [{self.kind.example}, …]"
        return Problem(f"not a list of {self.kind.objects}", advice=advice, fatal_if_named=True)

    def _broken(self, problem: Problem) -> Problem:
        several = problem.detail.startswith("Extra data")
        return replace(problem, advice="rename it to .jsonl if it has one object per line") if several else problem


def read_whole(file: SourceFile, most: int) -> bytes:
    """All bytes of a file except its byte order mark. Raises Unreadable if there are more than `most`."""
    with file.open() as stream:
        data = stream.read(most + 1)
        if len(data) > most:
            advice = "convert it to .jsonl (one object per line)"
            raise Unreadable(Problem(f"larger than {most >> 20} MB, the limit for a {file.suffix} file", advice=advice))
    return data.removeprefix(codecs.BOM_UTF8)


def _drain(stream: IO[bytes]) -> bool:
    """Reads to the end of the line. Returns whether it had more than its line end."""
    more = last = stream.readline(STEP)
    while last and not last.endswith(b"\n"):
        last = stream.readline(STEP)
    return bool(more.rstrip(b"\r\n"))
