"""The reading of files, on a terminal: which file, and how much of it has been read."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from liuli.cli.output import Screen
from liuli.display import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from liuli.data.records.source_files import Watch

PATIENCE = 1.0  # seconds for which nothing is shown: most reading is done by then
INTERVAL = 0.1  # seconds between two changes of what is shown


@contextmanager
def reading_progress() -> "Iterator[Watch | None]":
    """What `Sources` and `Dialogues` take as `watch`: within it, a bar follows each file on standard error.

    None, and nothing is shown, if standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    bar = ReadingBar()
    try:
        yield bar.show
    finally:
        bar.close()


class ReadingBar:
    """A bar for the file that is being read; it appears when reading takes more than a moment, and goes when it is done."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown = 0.0
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._name: str | None = None

    def show(self, name: str, place: int, size: int) -> None:
        """`place` bytes of `size` have been read of the file of that name; a size of 0 is not known."""
        now = time.monotonic()
        if name == self._name and now - self._shown < INTERVAL:
            return
        self._shown = now
        if self._progress is None:
            if now - self._began < PATIENCE:
                return
            self._progress = _new_progress()
            self._task = self._progress.add_task("", total=None)
            self._progress.start()
        assert self._task is not None
        if name != self._name:
            self._name = name
            self._progress.update(self._task, description=f"reading {printable(name)}")
        self._progress.update(self._task, completed=place, total=size or None)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()


def _new_progress() -> "Progress":
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn()
    return Progress(*columns, console=Screen(stderr=True), transient=True)
