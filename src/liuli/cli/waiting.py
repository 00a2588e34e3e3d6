"""A spinner while a command is busy and has nothing to show yet."""

from threading import Event, Thread

from rich.text import Text

from liuli.cli.output import Screen
from liuli.cli.reading_progress import PATIENCE
from liuli.display import on_line


class Waiting:
    """Within it, what the command is doing is shown on standard error, if it takes more than a moment. It is removed at the
    end, or by `stop`. Nothing is shown if standard error is no terminal.

    Attributes:
        text: what the command is doing. It may be changed until it is shown.
    """

    def __init__(self, text: str, screen: Screen | None = None):
        self.text = text
        self._screen = screen or Screen(stderr=True)
        self._ended = Event()
        self._thread = Thread(target=self._show, daemon=True)

    def __enter__(self) -> "Waiting":
        if self._screen.is_terminal:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Removes it, before something else is printed. It does not come back."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _show(self) -> None:
        if not self._ended.wait(PATIENCE):
            with self._screen.status(Text(on_line(f"{self.text} …"))):
                self._ended.wait()
