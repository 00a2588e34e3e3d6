"""Runs the `liuli` command in this process on something that says it is a terminal, and keeps what reaches it."""

import io
import os
import pty
import re
import sys
import threading
from collections.abc import Callable

import pytest

from liuli.cli.app import main

DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")  # all but line breaks and tabs
HOSTILE = "\x1b]0;t\a\x1b[2J\x9b2J\r\x08\u202e\u2066\u2028[/b]:smile:"
FILE_NAME = HOSTILE.replace("/", "")  # a system allows it as a file's name
NUL = "\x00"


class FakeTerminal(io.TextIOWrapper):
    """A text stream in memory that says it is a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="")

    def isatty(self) -> bool:
        return True

    def seen(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()


@pytest.fixture
def screen(monkeypatch) -> Callable[..., tuple[int, str]]:
    """`screen(*words, stdin=b"", columns=80)` -> the exit code, and all that reached standard output and standard error."""

    def run(*words: object, stdin: bytes = b"", columns: int = 80) -> tuple[int, str]:
        terminal = FakeTerminal()
        monkeypatch.setattr(sys, "argv", ["liuli", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        size = {"COLUMNS": str(columns), "LINES": "50"}
        for name, value in ({"TERM": "dumb", "NO_COLOR": "1", "TQDM_DISABLE": "1"} | size).items():
            monkeypatch.setenv(name, value)
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, terminal.seen()

    return run


@pytest.fixture
def pseudo_terminal(monkeypatch) -> Callable[..., tuple[int, str]]:
    """As `screen`, but on a pseudo-terminal that can move its cursor, and has 120 columns."""

    def run(*words: object) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        seen: list[bytes] = []
        reader = threading.Thread(target=_read_all, args=(ours, seen))
        reader.start()
        code = 0
        with monkeypatch.context() as patch, os.fdopen(theirs, "w", encoding="utf-8") as terminal:
            patch.setattr(sys, "argv", ["liuli", *map(str, words)])
            patch.setattr(sys, "stdout", terminal)
            patch.setattr(sys, "stderr", terminal)
            for name, value in (("TERM", "xterm"), ("COLUMNS", "120"), ("NO_COLOR", "1"), ("TQDM_DISABLE", "1")):
                patch.setenv(name, value)
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        reader.join()
        os.close(ours)
        return code, b"".join(seen).decode()

    return run


def _read_all(descriptor: int, seen: list[bytes]) -> None:
    """Until the other end is closed, which Linux reports as an error."""
    try:
        while part := os.read(descriptor, 1 << 16):
            seen.append(part)
    except OSError:
        pass
