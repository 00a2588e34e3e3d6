"""A spinner while a command is busy and has nothing to show yet."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from rich.text import Text

from liuli.cli.output import Screen
from liuli.display import on_line

PATIENCE = 1.0  # seconds for which nothing is shown


@contextmanager
def waiting(what: str) -> "Iterator[Waiting]":
    """Shows on standard error what the command is doing within it, if it takes more than a moment. Nothing is shown if standard
    error is no terminal."""
    spinner = Waiting(what)
    try:
        yield spinner
    finally:
        spinner.close()


class Waiting:
    """A spinner that appears after a moment."""

    def __init__(self, what: str):
        self._what = what
        self._ended = Event()
        self._thread = Thread(target=self._appear, daemon=True)
        if sys.stderr.isatty():
            self._thread.start()

    def show(self, what: str) -> None:
        """Changes what the command is doing; a spinner that has appeared keeps its text."""
        self._what = what

    def close(self) -> None:
        """Removes the spinner, before something else is printed. It does not come back."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _appear(self) -> None:
        if not self._ended.wait(PATIENCE):
            with Screen(stderr=True).status(Text(on_line(f"{self._what} …"))):
                self._ended.wait()
