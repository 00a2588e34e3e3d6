"""From the names that a user gives to the files behind them, in a fixed order, and to their bytes, decompressed."""

import glob
import gzip
import io
import os
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from liuli.display import first_line, printable, why
from liuli.errors import LiuliError

Format = Literal["text", "lines", "array", "parquet", "turns", "yaml"]
COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
RIGHT = "ask its owner for the right to read it"
KNOWN = ".txt, .md, .jsonl, .json (each also .gz or .zst) and .parquet"


@dataclass(frozen=True, slots=True)
class Formats:
    """Which files a source may have, by their suffixes. `what` is in them, `noun` is what one of them is called, `known`
    lists them for people; `piped` is standard input's."""

    what: str
    noun: str
    known: str
    piped: Format
    suffixes: dict[str, Format]


TEXTS = Formats(
    what="text",
    noun="text",
    known=KNOWN,
    piped="text",
    suffixes={".txt": "text", ".md": "text", ".jsonl": "lines", ".json": "array", ".parquet": "parquet"},
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file or a record is not used. `reason` is the same for all of its sort, so that they can be counted."""

    reason: str
    detail: str = ""
    advice: str = ""
    no_text: bool = False  # not a text at all: an error where the user named the file, even when not strict

    def at(self, place: str) -> str:
        """One line for people: what, where, what to do."""
        return advised(self.where(f"{place}: {self.reason}"), self.advice)

    def where(self, place: str) -> str:
        """The place with the detail."""
        return place + f" ({self.detail})" * bool(self.detail)


def advised(line: str, advice: str) -> str:
    """What is wrong and, where there is something, what to do about it."""
    return line + f"; {advice}" * bool(advice)


class Unreadable(Exception):
    """A file cannot be read, or not to its end."""

    def __init__(self, problem: Problem):
        self.problem = problem


@dataclass(frozen=True)
class File:
    """One file of a source. `name` is for people; `named`: the user gave it by name, it was not found in a folder."""

    path: Path
    name: str
    named: bool = False
    formats: Formats = field(default=TEXTS, repr=False, compare=False)
    spool: Any = field(default=None, repr=False)  # keeps the temporary file of standard input
    stamp: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stamp", self._stamp())

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except OSError:  # a link to nothing: nobody can read it, which is noticed then
            return 0, 0
        return found.st_size, found.st_mtime_ns

    @property
    def format(self) -> Format | None:
        """By the suffix; None for what such a source does not read."""
        if self.spool:
            return self.formats.piped
        found = self.formats.suffixes.get(self.suffix)
        return None if self.compression and found == "parquet" else found

    @property
    def suffix(self) -> str:
        """Its own, before that of the compression."""
        return Path(self.path.stem if self.compression else self.path.name).suffix.lower()

    @property
    def compression(self) -> str | None:
        return None if self.spool else COMPRESSED.get(self.path.suffix.lower())

    def check_unchanged(self) -> None:
        if self._stamp() != self.stamp:
            raise LiuliError(f"{self.name} has changed while it was read; wait until it is written, and start again")

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its bytes, decompressed.

        Raises:
            Unreadable: the file cannot be opened or its compressed stream is broken, here or while it is read.
            LiuliError: its size or date is not what it was when the source was made: before or after the reading.
        """
        self.check_unchanged()
        try:
            with self.path.open("rb") as raw, _decompressed(raw, self.compression) as stream:
                yield stream
        except (EOFError, zlib.error, OSError) as error:
            self.check_unchanged()
            if self.compression and getattr(error, "errno", None) is None:
                raise Unreadable(Problem(f"broken {self.compression}", first_line(error), "fetch or make it again")) from None
            raise Unreadable(Problem("cannot be read", why(error), RIGHT * isinstance(error, PermissionError))) from None
        except Unreadable:  # perhaps only because somebody is still writing it
            self.check_unchanged()
            raise
        self.check_unchanged()


@contextmanager
def _decompressed(raw: IO[bytes], compression: str | None) -> Iterator[IO[bytes]]:
    if compression == "gzip":
        with gzip.open(raw) as stream:
            yield stream  # pyright: ignore[reportReturnType]
    elif compression == "zstd":
        import pyarrow  # unlike the zstandard package it notices that a stream was cut off

        with pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, mode="r"), "zstd") as stream:
            yield io.BufferedReader(stream, 1 << 16)  # pyright: ignore[reportArgumentType]
    else:
        yield raw


def find_files(names: Sequence[str], formats: Formats = TEXTS) -> list[File]:
    """The files behind `names` in their order; those of a folder sorted by path, hidden ones left out.

    Raises:
        LiuliError: a name has nothing behind it, or a file by that name is of none of the `formats`.
    """
    if not names:
        raise LiuliError("there is no source; give files, folders, - for standard input, or hub:owner/dataset")
    if list(names).count("-") > 1:
        raise LiuliError("standard input (-) can be read only once; give it once")
    files = []
    for name in names:
        if name == "-":
            files.append(_standard_input(formats))
        elif name.startswith("hub:"):
            files += _of_dataset(name, formats)
        elif Path(name).is_dir() and name:
            files += _of_folder(Path(name), name.rstrip("/") or "/", formats)
        else:
            files.append(_by_name(name, formats))
    return files


def _by_name(name: str, formats: Formats) -> File:
    path = Path(name)
    if not path.exists() or not name:
        raise LiuliError(f"there is no file or folder {name!r}; give one, - for standard input, or hub:owner/dataset")
    file = File(path, printable(name), named=True, formats=formats)
    if not path.is_file() or not file.format:
        raise LiuliError(f"{file.name} is no {formats.noun} that Liuli reads: it reads {formats.known}")
    return file


def _of_folder(folder: Path, name: str, formats: Formats) -> list[File]:
    def fail(error: OSError) -> None:
        raise LiuliError(advised(f"the folder {error.filename} cannot be read: {why(error)}", RIGHT))

    found = []
    for at, folders, names in os.walk(folder, onerror=fail):
        links = [each for each in folders if Path(at, each).is_symlink()]  # not followed, but never silently
        folders[:] = [each for each in folders if not each.startswith(".")]
        found += [Path(at, each) for each in names + links if not each.startswith(".")]
    found.sort(key=lambda path: path.relative_to(folder).parts)
    return [File(path, printable(f"{name}/{path.relative_to(folder).as_posix()}"), formats=formats) for path in found]


def _of_dataset(name: str, formats: Formats) -> list[File]:
    """The files of a dataset on the hub, or of one folder or file in it; never its card, which is no text of the dataset."""
    from liuli.hub import find_dataset

    found = re.fullmatch(r"hub:(\w[\w.-]*/\w[\w.-]*)((?:/[^/]+)*)/?", name)
    path = found[2].strip("/") if found else ""
    if not found or {".", ".."} & set(path.split("/")):
        raise LiuliError(f"{name} names no dataset of the hub; write hub:owner/dataset, or hub:owner/dataset/path of its files")
    inside = find_dataset(found[1], _patterns(path, formats)) / path
    whole = inside.is_file()
    files = [File(inside, printable(name), formats=formats)] if whole else []
    if inside.is_dir():
        files = _of_folder(inside, name.rstrip("/"), formats)
    files = [file for file in files if file.format and (path or file.name != f"{name.rstrip('/')}/README.md")]
    if not files:
        raise LiuliError(f"{name} holds no {formats.noun} that Liuli reads: it reads {formats.known}")
    return files


def _patterns(path: str, formats: Formats) -> list[str]:
    """Which files of a dataset to fetch: `path` itself, and all below it of a format that is read."""
    suffixes = [
        suffix + end
        for suffix, format in formats.suffixes.items()
        for end in ("", *COMPRESSED)
        if format != "parquet" or not end
    ]
    below = f"{glob.escape(path)}/" if path else ""
    return [f"{below}*{suffix}" for suffix in suffixes] + [glob.escape(path)] * path.endswith(tuple(suffixes))


def _standard_input(formats: Formats) -> File:
    """Standard input in a temporary file, so that it can be read again; the file goes with the source."""
    spool = tempfile.NamedTemporaryFile(prefix="liuli-stdin-")  # noqa: SIM115 (the source reads it, again and again)
    shutil.copyfileobj(sys.stdin.buffer, spool)
    spool.flush()
    return File(Path(spool.name), "standard input", named=True, formats=formats, spool=spool)
