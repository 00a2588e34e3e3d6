"""Where a command may write: only where nothing is yet.

In: the path that a user gives for a new file or a new folder. An existing file, or a folder that is not empty, is refused. A
folder whose whole content Liuli wrote (`OwnFolder`) may be replaced if the user asks for it. Nothing else is ever replaced or
deleted. The checks change nothing, so that a command can make them before all slow work. Missing folders are created when
the output is written (`parents_of`).
"""

import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from liuli.display import printable, why
from liuli.errors import LiuliError

FILE, FOLDER = "a file", "a folder"
KINDS = ((stat.S_ISREG, FILE), (stat.S_ISDIR, FOLDER), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
SHOWN = 3  # names of a folder's content in a message


@dataclass(frozen=True, slots=True)
class OwnFolder:
    """A kind of folder that Liuli writes, and may replace as a whole.

    Attributes:
        what: what it holds, for people, such as "a world".
        files: the names of all files in it.
        is_own: whether Liuli wrote those files in a folder that are there.
    """

    what: str
    files: tuple[str, ...]
    is_own: Callable[[Path], bool]


def check_new_file(path: str | Path, suffix: str = "") -> None:
    """Checks that a new file can be written at `path`. Changes nothing.

    Args:
        suffix: what the name must end with, such as ".gguf".

    Raises:
        LiuliError: something of that name exists (a file, a folder, a link, a device); the file could not be written there.
    """
    place, shown = Path(path), printable(str(path))
    check_given(path)
    found = _what_is(place)
    if found == FILE:
        raise LiuliError(f"{shown} already exists and will not be overwritten: give another name, or delete it")
    if found:
        raise LiuliError(f"{shown} is {found}: give the name of a new file")
    if suffix and place.suffix.lower() != suffix:
        raise LiuliError(f"{shown}: the name of the output file must end with {suffix}; give such a name")
    _check_place(place)


def check_new_folder(
    folder: str | Path, own: OwnFolder | None = None, force: bool = False, ignored: Collection[str] = ()
) -> None:
    """Checks that `folder` is new or empty, and can be written. Changes nothing.

    Args:
        own: what Liuli writes there. If `force`, such a folder may also contain exactly this.
        ignored: names in the folder that do not count.

    Raises:
        LiuliError: the folder contains something, or is none; it could not be written.
    """
    place, shown = Path(folder), printable(str(folder))
    check_given(folder)
    found = _what_is(place)
    if found is None:
        _check_place(place)
        return
    if found != FOLDER:
        raise LiuliError(f"{shown} is {found}: give a new or empty folder")
    with _refusing(place):
        held = {each.name for each in place.iterdir()} - set(ignored)
    unfinished = {part_of(place / name).name for name in own.files} if own else set[str]()
    held -= unfinished  # left by a command that was killed
    if held and not (own and held <= set(own.files) and own.is_own(place)):
        foreign = sorted(held - set(own.files) if own else held) or sorted(held)
        names = printable(", ".join(foreign[:SHOWN]))
        raise LiuliError(f"{shown} contains other files ({names}): give a new or empty folder")
    if held and own and not force:
        raise LiuliError(f"{shown} already contains {own.what}: give a new or empty folder, or --force to replace it")
    if not os.access(place, os.W_OK | os.X_OK):
        raise LiuliError(f"{shown} cannot be written: permission denied; give another folder")


def check_given(path: str | Path) -> None:
    """Raises LiuliError: the name is empty, which would mean the current folder."""
    if not str(path):
        raise LiuliError("the name of the output is empty: give the name of a file or folder")


def part_of(path: Path) -> Path:
    """The temporary file from which `path` is made."""
    return path.with_name(f".{path.name}.part")


def missing_folders(folder: Path) -> list[Path]:
    """Those of `folder` and the folders above it that do not exist, the innermost first."""
    return [each for each in (folder, *folder.parents) if not each.exists()]


def remove_empty(folders: Collection[Path]) -> None:
    """Removes those folders that are empty."""
    for each in folders:
        with suppress(OSError):
            each.rmdir()


@contextmanager
def parents_of(path: Path) -> Iterator[None]:
    """Creates the missing folders above `path`. At the end, those to which nothing was written are removed again.

    Raises:
        OSError: a folder cannot be created.
    """
    missing = missing_folders(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        remove_empty(missing)


def _what_is(path: Path) -> str | None:
    """What exists at a path, or where a link there leads; None if there is nothing. Raises LiuliError: the name cannot be."""
    with _refusing(path):
        try:
            mode = path.stat().st_mode
        except NotADirectoryError:  # a name under a file
            return None
        except FileNotFoundError:
            return "a link to something that does not exist" if path.is_symlink() else None
    return next((what for is_kind, what in KINDS if is_kind(mode)), "a device")


def _check_place(path: Path) -> None:
    """Raises LiuliError unless `path`, which does not exist, can be created with all missing folders above it."""
    above = next(each for each in path.parents if os.path.lexists(each))
    found = _what_is(above)
    if found != FOLDER:
        raise LiuliError(f"{printable(str(path))} cannot be written: {printable(str(above))} is {found}; give another path")
    if not os.access(above, os.W_OK | os.X_OK):
        denied = f"permission denied in the folder {printable(str(above))}"
        raise LiuliError(f"{printable(str(path))} cannot be written: {denied}; give another path")
    with _refusing(path):
        for name in (*path.relative_to(above).parts, part_of(path).name):
            with suppress(FileNotFoundError):
                (above / name).lstat()  # whether the file system accepts the name


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Makes a LiuliError of what the operating system says about a path."""
    try:
        yield
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL; a folder without permission
        raise LiuliError(f"{printable(str(path))} cannot be written: {why(error)}; give another path") from None
