"""Ctrl-C in a chat: it stops a reply or drops a line, but never ends the conversation."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal


class ReplyInterrupt:
    """While it is entered, Ctrl-C raises KeyboardInterrupt only during a line, and during a reply only if it is the second.

    Attributes:
        asked: whether it was pressed during the reply.
    """

    def __init__(self) -> None:
        self.asked = False
        self._during: Literal["line", "reply"] | None = None

    def __enter__(self) -> "ReplyInterrupt":
        self._before: Any = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def during(self, what: Literal["line", "reply"]) -> Iterator[None]:
        """Says what Ctrl-C interrupts now."""
        self.asked, self._during = False, what
        try:
            yield
        finally:
            self._during = None

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._during == "line" or (self._during == "reply" and self.asked):
            raise KeyboardInterrupt
        self.asked = True
