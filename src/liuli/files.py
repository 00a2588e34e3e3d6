"""Files and folders that are either complete or absent, whenever the process or the machine stops.

Everything is written to a temporary name next to its place, flushed to the disk (fsync), and renamed once. `output_paths.py`
checks the places that a user gives.
"""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from liuli.display import printable, why
from liuli.errors import REPAIR, LiuliError
from liuli.output_paths import check_new_folder, parents_of, part_of

LFS_POINTER = b"version https://git-lfs"  # how a Git LFS pointer begins: a small text in place of a file's content


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Replaces `path` at once: `write` fills a temporary file, which is flushed to the disk and then renamed.

    If anything fails, `path` is unchanged and the temporary file is removed.

    Raises:
        OSError: the file cannot be written. What `write` raises is passed on.
    """
    write_together({path: write})


def write_together(writers: Mapping[Path, Callable[[Path], Any]]) -> None:
    """Replaces several files, each at once, when all of them are written: each function fills a temporary file for its path.

    If writing any of them fails, all are unchanged and the temporary files are removed.

    Raises:
        OSError: a file cannot be written. What a function raises is passed on.
    """
    try:
        for path, write in writers.items():
            write(part_of(path))
            sync(part_of(path))
        for path in writers:
            os.replace(part_of(path), path)
    except BaseException:
        for path in writers:
            with suppress(OSError):
                part_of(path).unlink(missing_ok=True)
        raise
    for folder in {path.parent for path in writers}:
        sync(folder)


def write_text(path: Path, text: str) -> None:
    """Replaces `path` at once by `text` in UTF-8 with \\n line ends. Raises OSError."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8", newline="\n"))


def write_json(path: Path, body: Any, indent: int = 2) -> None:
    """Replaces `path` at once by one JSON value. Raises OSError."""
    write_text(path, json.dumps(body, ensure_ascii=False, indent=indent) + "\n")


def write_json_lines(records: Iterable[dict[str, Any]], path: Path) -> int:
    """Replaces `path` at once by one JSON object per line, and creates its folder. Returns how many there are.

    Raises:
        LiuliError: the file cannot be written.
    """
    counts: list[int] = []
    try:
        with parents_of(path):
            write_whole(path, lambda part: counts.append(fill_with_json_lines(part, records)))
    except OSError as error:
        raise LiuliError(f"{printable(str(path))} cannot be written: {why(error)}") from None
    return counts[0]


def fill_with_json_lines(part: Path, records: Iterable[dict[str, Any]]) -> int:
    """Writes one JSON object per line to a temporary file. Returns how many there are. Raises OSError."""
    count = 0
    with part.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def refuse_lfs_pointer(path: Path) -> None:
    """Raises LiuliError if the file is a Git LFS pointer, whose content was never downloaded. Raises OSError."""
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise LiuliError(
                f"{printable(str(path))} is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder, or "
                f"download the file"
            )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; {} if there is no such file.

    Raises:
        LiuliError: the file is not valid JSON, is a Git LFS pointer, or does not hold an object.
    """
    if not path.is_file():
        return {}
    try:
        refuse_lfs_pointer(path)
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # ValueError: not JSON, not UTF-8, or a number of thousands of digits
        raise LiuliError(f"{path} is broken: it is not valid JSON ({printable(str(error))}); {REPAIR}") from None
    except OSError as error:
        raise LiuliError(f"{path} cannot be read: {why(error)}") from None
    if not isinstance(found, dict):
        raise LiuliError(f"{path} is broken: a JSON object is expected, found a {type(found).__name__}; {REPAIR}")
    return found


def link(path: Path, target: str) -> None:
    """Makes `path` a symbolic link to `target`, which is relative to its folder; replaces an older link at once."""
    if path.is_symlink() and os.readlink(path) == target:
        return
    part = part_of(path)
    part.unlink(missing_ok=True)
    os.symlink(target, part)
    os.replace(part, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Flushes a file's content, or a folder's own entries, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        sync_descriptor(number)
    finally:
        os.close(number)


def sync_descriptor(number: int) -> None:
    """Flushes an open file to the disk. On macOS fsync leaves the data in the drive's own cache; F_FULLFSYNC does not."""
    if sys.platform == "darwin":
        with suppress(OSError):  # a file system without it, such as a network's
            fcntl.fcntl(number, fcntl.F_FULLFSYNC)
            return
    os.fsync(number)


def sync_tree(folder: Path) -> None:
    """Flushes all files and folders in `folder`, and the folder itself, the innermost first."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync(Path(place) / name)
        sync(Path(place))


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder to fill, which is renamed to `folder` when it is complete. If that fails, it is removed.

    Raises:
        LiuliError: see `check_new_folder`.
    """
    check_new_folder(folder)
    place = folder.resolve()
    part = part_of(place)
    shutil.rmtree(part, ignore_errors=True)
    with parents_of(place):
        part.mkdir()
        try:
            yield part
            sync_tree(part)
            os.rename(part, place)  # which replaces an empty folder
            sync(place.parent)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
