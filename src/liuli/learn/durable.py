"""Files and folders that are whole or not there, whenever the process or the machine stops.

Everything is written beside, brought to the disk (fsync), and renamed once.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from liuli.errors import LiuliError


def write_text(path: Path, text: str) -> None:
    """Replaces `path` at once."""
    beside = path.with_name(f".{path.name}.part")
    with beside.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync(path.parent)


def link(path: Path, target: str) -> None:
    """Makes `path` a symbolic link to `target`, which is relative to its folder; replaces an older link at once."""
    if path.is_symlink() and os.readlink(path) == target:
        return
    beside = path.with_name(f".{path.name}.part")
    beside.unlink(missing_ok=True)
    os.symlink(target, beside)
    os.replace(beside, path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Brings a folder's own entries, or a file's content, to the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sync_tree(folder: Path) -> None:
    """All files and folders in `folder`, and it itself, the innermost first."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync(Path(place) / name)
        sync(Path(place))


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when it is whole. Where that fails nothing of it stays.

    Raises:
        LiuliError: something of that name is there already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LiuliError(f"{folder} is there already: name a new or an empty folder")
    place = folder.resolve()
    part = place.with_name(f".{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        sync_tree(part)
        os.rename(part, place)  # which replaces an empty folder
        sync(place.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
