"""What was skipped and why: every pass over files counts it and records the first places."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from liuli.data.records.problem import Problem, Unreadable, with_advice
from liuli.data.records.readers import RecordReader
from liuli.data.records.source_files import SourceFile
from liuli.display import printable
from liuli.errors import LiuliError
from liuli.units import counted

T = TypeVar("T")
NAMED = 10  # files that are named for each kind of problem; all problems are counted


@dataclass(slots=True)
class SkippedInFile:
    """Where in a file one kind of problem was found first, in words for people, and how often in that file."""

    file: str
    first: str
    count: int = 1

    def __str__(self) -> str:
        return _and_more(self.first, self.count)


@dataclass(slots=True)
class Skipped:
    """One reason for which input was not used.

    Attributes:
        reason: the reason.
        advice: what to do about it, or "".
        count: how often it was found.
        places: the first files in which it was found.
    """

    reason: str
    advice: str = ""
    count: int = 0
    places: list[SkippedInFile] = field(default_factory=list)

    def __str__(self) -> str:
        """All on one line."""
        return with_advice(self.found, self.advice)

    @property
    def found(self) -> str:
        """What was found, how often, and where first."""
        return f"{self.count:,} × {self.reason}: {_and_more(self.places[0].first, self.count)}"

    @property
    def heading(self) -> str:
        return with_advice(f"{self.count:,} × {self.reason}", self.advice)

    @property
    def elsewhere(self) -> int:
        """How many are in files that are not named."""
        return self.count - sum(place.count for place in self.places)

    def add(self, file: str, place: str) -> None:
        self.count += 1
        if self.places and self.places[-1].file == file:
            self.places[-1].count += 1
        elif len(self.places) < NAMED:
            self.places.append(SkippedInFile(file, place))


@dataclass(slots=True)
class SourcePass:
    """What one pass over the files of a source has found so far. Only its own generator writes to it.

    Attributes:
        strict: stop at the first problem instead of skipping and counting it.
        duplicates: how many texts came before.
        marks: how many byte order marks were dropped.
    """

    strict: bool
    skipped: dict[str, Skipped] = field(default_factory=dict)
    duplicates: int = 0
    marks: int = 0

    def skip(self, file: SourceFile, place: str, problem: Problem) -> None:
        if self.strict:
            raise LiuliError(problem.at(place))
        skipped = self.skipped.setdefault(problem.reason, Skipped(problem.reason, problem.advice))
        skipped.add(file.name, problem.where(place))

    def records(self, file: SourceFile, reader: RecordReader[T], start: int = 0) -> Iterator[tuple[int, T]]:
        """The good records of one file from `start` on, each with its index; the others are skipped."""
        try:
            for index, found in reader.records(start):
                if isinstance(found, Problem):
                    self.skip(file, reader.place(index), found)
                else:
                    yield index, found
        except Unreadable as error:
            if error.problem.fatal_if_named and file.named:
                raise LiuliError(error.problem.at(file.name)) from None
            self.skip(file, file.name, error.problem)

    def nothing(self, what: str, names: Sequence[str]) -> LiuliError:
        """The error that nothing was found, and the most frequent reason."""
        why = "it contains no files"
        if self.skipped:
            main = max(self.skipped.values(), key=lambda each: each.count)
            others = sum(each.count for each in self.skipped.values()) - main.count
            more = f", and {counted(others, 'other problem')}" if others else ""
            why = with_advice(f"{main.found}{more}", main.advice)
        return LiuliError(f"no {what} found in {names_of(names)}: {why}")


def open_reader(file: SourceFile, read: Callable[[SourceFile], RecordReader[T]]) -> RecordReader[T] | Problem:
    """The reader that `read` has for a file, or why there is none."""
    try:
        return read(file)
    except Unreadable as error:
        return error.problem


def names_of(names: Sequence[str]) -> str:
    """The names that a user gave to a source, on one line."""
    return printable(", ".join(names))


def _and_more(first: str, count: int) -> str:
    return f"{first} and {count - 1:,} more" if count > 1 else first
