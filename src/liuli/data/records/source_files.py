"""One file of a source: its format, and its decompressed bytes. A file that changes is an error."""

import errno
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from liuli.data.records.problem import Problem, Unreadable
from liuli.data.records.unpacking import COMPRESSED, unpacked
from liuli.display import first_line, why
from liuli.errors import LiuliError
from liuli.files import LFS_POINTER
from liuli.watch import Watch

Format = Literal["text", "lines", "array", "parquet", "turns", "yaml"]
SYSTEM = (Path("/proc"), Path("/sys"))  # reading a file there may never end
NOT_REGULAR = "a pipe, a device or a system file"
NO_FILE = errno.ENOENT, os.strerror(errno.ENOENT)
BUFFER = 1 << 16  # bytes read at a time
ASK_OWNER = "ask its owner for permission to read it"
LFS = Problem("a Git LFS pointer, not the file itself", advice="run `git lfs pull` in its folder, or download the file")


@dataclass(frozen=True, slots=True)
class FileFormats:
    """Which files a source may have.

    Attributes:
        what: what is in them.
        known: their suffixes, listed for people.
        piped: the format of standard input.
        suffixes: the format of a file by its suffix.
    """

    what: str
    known: str
    piped: Format
    suffixes: dict[str, Format]


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Attributes:
        name: its name in messages, printable.
        named: the user gave it by name; it was not found in a folder.
        spool: keeps the temporary file of standard input.
        watch: is called as the file is read.
        stamp: its size in bytes and the time of its last change when the source was made.
    """

    path: Path
    name: str
    formats: FileFormats = field(repr=False, compare=False)
    named: bool = False
    spool: Any = field(default=None, repr=False)
    watch: Watch | None = field(default=None, repr=False, compare=False)
    stamp: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stamp", self._stamp())

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except OSError:  # a link to nothing: it cannot be read, which is noticed then
            return 0, 0
        return found.st_size, found.st_mtime_ns

    @property
    def format(self) -> Format | None:
        """By the suffix; None if such a source does not read the file."""
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
        """Raises LiuliError if its size or date is not what it was."""
        if self._stamp() != self.stamp:
            raise self.changed()

    def changed(self) -> LiuliError:
        """The error that the file was changed while it was being read."""
        return LiuliError(f"{self.name} changed while it was being read: wait until it is completely written, and start again")

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Opens its bytes, decompressed.

        Raises:
            Unreadable: the file cannot be opened, or is a Git LFS pointer; its compressed stream is broken or decompresses to
                too much, here or while it is read.
            LiuliError: the file has changed since the source was made: before or after the reading.
        """
        self.check_unchanged()
        try:
            with self._open_raw() as raw:
                if raw.peek(len(LFS_POINTER)).startswith(LFS_POINTER):
                    raise Unreadable(LFS)
                with unpacked(raw, self.compression, self.stamp[0]) as stream:
                    yield stream
        except (EOFError, zlib.error, OSError) as error:
            self.check_unchanged()
            if self.compression and getattr(error, "errno", None) is None:
                advice = "download it again, or create it again"
                raise Unreadable(Problem(f"broken {self.compression}", first_line(error), advice)) from None
            advice = ASK_OWNER if isinstance(error, PermissionError) else ""
            raise Unreadable(Problem("cannot be read", why(error), advice)) from None
        except Unreadable:  # perhaps only because it is still being written
            self.check_unchanged()
            raise
        self.check_unchanged()

    def show(self, share: float) -> None:
        """Reports to `watch` which share of the file has been decoded, 0 to 1, if decoding takes longer than reading."""
        if self.watch:
            self.watch(self.name, int(share * self.stamp[0]), self.stamp[0])

    def _open_raw(self) -> io.BufferedReader:
        watch = self.watch
        if watch is None:
            return open_regular(self.path)
        name, size = self.name, self.stamp[0]
        return open_regular(self.path, lambda place: watch(name, place, size))


class WatchedFile(io.FileIO):
    """A file that reports its position in bytes to `watch` after each read."""

    watch: Callable[[int], None]

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        self.watch(self.tell())
        return count


def open_regular(path: Path, watch: Callable[[int], None] | None = None) -> io.BufferedReader:
    """Opens a regular file for reading. It never waits for a pipe's other end and never touches a device.

    Args:
        watch: is called after each read with the place in the file, in bytes.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
    """
    if not path.is_file() or is_of_system(path):  # before it is opened: opening some devices changes their state
        raise OSError(errno.EINVAL, NOT_REGULAR, str(path)) if path.exists() else FileNotFoundError(*NO_FILE, str(path))
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):  # it was replaced at this very moment
            raise OSError(errno.EINVAL, NOT_REGULAR, str(path))
        raw = WatchedFile(number, "rb") if watch else io.FileIO(number, "rb")
    except BaseException:
        os.close(number)
        raise
    if isinstance(raw, WatchedFile) and watch:
        raw.watch = watch
    return io.BufferedReader(raw, BUFFER)


def is_of_system(path: Path) -> bool:
    """Whether `path` is in a virtual file system, whose content the operating system generates."""
    place = path.resolve()
    return any(place.is_relative_to(each) for each in SYSTEM)
