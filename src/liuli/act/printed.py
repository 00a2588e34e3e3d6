"""What a tool prints, kept away from the program's own output; and a standard input that is empty.

`sys.stdout` is one per process, but several calls can run at once, and one that never returns still prints when its call is
over. So while any tool runs, it is replaced by a `RoutedStream`, which asks the context of the code that prints; likewise
`sys.stderr`, and `sys.stdin`, because a tool must not read what the user types for the program. What Python does not see (a
program that the tool starts, a library in C) is not caught.
"""

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

KEPT = 10_000  # bytes of a tool's output; the rest is dropped
STREAMS = ("stdin", "stdout", "stderr")

_lock = threading.Lock()
_running = 0


class Printed(io.BytesIO):
    """The first `KEPT` bytes that were written to it, which may be cut in the middle of a character."""

    def write(self, data: Any) -> int:
        super().write(bytes(data)[: max(0, KEPT - self.tell())])
        return len(data)

    def text(self) -> str:
        return self.getvalue().decode(errors="replace")


_output: ContextVar[io.TextIOWrapper | None] = ContextVar("the output of the tool that runs here", default=None)


class RoutedStream:
    """Stands for one of `STREAMS`: passes everything on to where the running code belongs. A tool's own stream is for reading
    and writing; what it reads there is always at its end."""

    def __init__(self, usual: Any):
        self.usual = usual

    def __getattr__(self, name: str) -> Any:
        return getattr(_output.get() or self.usual, name)


@contextmanager
def caught(printed: Printed) -> Iterator[None]:
    """Everything that is printed inside, in this thread or this asynchronous task, goes to `printed`."""
    _install()
    token = _output.set(io.TextIOWrapper(printed, encoding="utf-8", errors="replace", write_through=True))
    try:
        yield
    finally:
        wrapper = _output.get()
        _output.reset(token)
        if wrapper is not None:
            wrapper.detach()  # so that `printed` is not closed with it
        _uninstall()


def _install() -> None:
    global _running
    with _lock:
        _running += 1
        for name in STREAMS:
            usual = getattr(sys, name)
            if usual is not None and not isinstance(usual, RoutedStream):  # None: a program without a terminal
                setattr(sys, name, RoutedStream(usual))


def _uninstall() -> None:
    global _running
    with _lock:
        _running -= 1
        for name in STREAMS:
            routed = getattr(sys, name)
            if not _running and isinstance(routed, RoutedStream):
                setattr(sys, name, routed.usual)
