"""Work that takes time, on a terminal: what is being done, how much of it is done, and how long the rest will take.

    with work_progress("loading the model") as work:
        ...
        work.show("answering prompts", done, total)

Everything goes to standard error. Nothing is shown if standard error is no terminal, or if the work takes only a moment.
"""

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from rich.console import RenderableType
from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Column
from rich.text import Text

from liuli.cli.output import Screen
from liuli.cli.wording import duration
from liuli.display import printable
from liuli.units import byte_size
from liuli.watch import counting

if TYPE_CHECKING:
    from liuli.data.records.source_files import SourceFile

PATIENCE = 1.0  # seconds for which nothing is shown: most work is done by then
INTERVAL = 0.1  # seconds between two changes of what is shown
BAR, OF_WIDTH = 20, 6  # columns of the bar, at most; the terminal's width, divided by this, if that is less

Item = TypeVar("Item")


@contextmanager
def work_progress(what: str) -> "Iterator[WorkProgress]":
    """Shows the work that is done within it on one line, which is removed at the end.

    Args:
        what: what is done first, such as "loading the model".
    """
    work = WorkProgress(what)
    WorkProgress.current = work
    try:
        yield work
    finally:
        WorkProgress.current = None
        work.close()


class WorkProgress:
    """One line about the current work. A thread redraws it, so that it moves even if the work reports nothing.

    Attributes:
        current: the work of this process that is shown now.
    """

    current: "WorkProgress | None" = None

    def __init__(self, what: str):
        self._lock = threading.RLock()
        self._what, self._done, self._total, self._amount = printable(what), 0, 0, ""
        self._changed = 0.0
        self._progress: Progress | None = None
        self._timer: threading.Timer | None = None
        self._verb, self._before, self._size = "reading", dict[str, int](), 0
        if sys.stderr.isatty():
            self._wait()

    def show(self, what: str, done: int = 0, total: int = 0) -> None:
        """`done` of `total` pieces of this work are done. A total of 0 is not known."""
        self._set(what, done, total, f"{done:,} of {total:,}" if total else "")

    def reading(self, name: str, place: int, size: int) -> None:
        """`place` bytes of `size` have been read of the file of that name: what `Sources` and `Dialogues` take as `watch`. A
        size of 0 is not known."""
        if name in self._before:
            place, size = self._before[name] + place, self._size
        self._set(f"{self._verb} {name}", place, size, byte_size(place) + (f" of {byte_size(size)}" if size else ""))

    def expect(self, files: "Sequence[SourceFile]", verb: str = "reading") -> None:
        """All of these files will be read, in this order. `reading` then shows the place in all of them together.

        Args:
            verb: what is done with them.
        """
        self._verb, self._before, self._size = verb, {}, 0
        for file in files:
            self._before[file.name] = self._size
            self._size += file.stamp[0]

    def counting(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """The same items; `show` counts them as they pass."""
        return counting(items, what, total, self.show)

    def close(self) -> None:
        """Removes the line. The next `show` or `reading` begins another one."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._progress is not None:
                self._progress.stop()
            self._timer = self._progress = None

    def _set(self, what: str, done: int, total: int, amount: str) -> None:
        if not sys.stderr.isatty():
            return
        what, now = printable(what), time.monotonic()
        with self._lock:
            another = total != self._total or done < self._done  # whose time left is estimated anew
            soon = now - self._changed < INTERVAL
            if soon and not another and what == self._what:
                return
            self._what, self._done, self._total, self._amount = what, done, total, amount
            if self._progress is None:
                if self._timer is None:
                    self._wait()
                return
            if another:
                self._progress.remove_task(self._progress.task_ids[0])
                self._begin(self._progress)
            else:
                self._progress.update(self._progress.task_ids[0], description=what, completed=done, amount=amount)
            if not soon:  # otherwise the thread draws it
                self._changed = now
                self._progress.refresh()

    def _wait(self) -> None:
        """The line appears after a moment."""
        self._timer = threading.Timer(PATIENCE, self._appear)
        self._timer.daemon = True
        if PATIENCE:
            self._timer.start()
        else:
            self._appear()

    def _appear(self) -> None:
        with self._lock:
            if self._timer is None:  # closed at this very moment
                return
            self._progress = _new_progress()
            self._begin(self._progress)
            self._progress.start()

    def _begin(self, progress: Progress) -> None:
        progress.add_task(self._what, total=self._total or None, completed=self._done, amount=self._amount)


class AmountColumn(ProgressColumn):
    """A bar of what is done. If the whole is not known, something that moves: a bar would look full where there are no
    colours."""

    def __init__(self, width: int):
        super().__init__()
        self._width, self._spinner = width, Spinner("dots")

    def render(self, task: Task) -> RenderableType:
        if task.total is None:
            return self._spinner.render(task.get_time())
        return ProgressBar(task.total, task.completed, self._width)


class TimeColumn(ProgressColumn):
    """The time left; the time since the work began if the rest is not known."""

    def render(self, task: Task) -> Text:
        left = None if task.total is None else task.time_remaining
        return Text(duration(task.elapsed or 0.0) if left is None else f"{duration(left)} left")


def _new_progress() -> Progress:
    screen, wide = Screen(stderr=True), Column(ratio=1, no_wrap=True, overflow="ellipsis")
    what = TextColumn("{task.description}", markup=False, table_column=wide)
    bar = AmountColumn(min(BAR, screen.width // OF_WIDTH))
    columns = what, bar, TextColumn("{task.fields[amount]}", markup=False), TimeColumn()
    # Standard output is left alone: it may be a file.
    return Progress(*columns, console=screen, transient=True, expand=True, redirect_stdout=False)
