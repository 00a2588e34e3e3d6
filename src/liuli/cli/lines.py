"""What somebody types or pipes in, a message or a command at a time; and Ctrl-C, which must not end what was talked about.

A line that ends with a backslash goes on in the next; between `\"\"\"` and `\"\"\"` any lines are one message, never a command.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal, NamedTuple

from liuli.errors import LiuliError

BLOCK = '"""'


class Said(NamedTuple):
    """`command`: it begins with a stroke, and not within a block."""

    text: str
    command: bool


class Lines:
    """Standard input. At a terminal lines are edited, and those before come back, with readline.

    Attributes:
        number: how many lines have been read.
    """

    def __init__(self, terminal: bool):
        self.terminal, self.number = terminal, 0
        if terminal:  # only there: it may write to standard output as soon as it is imported
            import readline

            self._readline = readline

    def read(self) -> Said:
        """The next that is not blank.

        Raises:
            EOFError: there are no more.
            LiuliError: a line is not UTF-8; the input ends within a message.
        """
        text = ""
        while not text.strip():
            text = self._line("> ")
        block = text.startswith(BLOCK)
        while not _closed(text) if block else text.endswith("\\"):
            try:
                text = (text if block else text[:-1]) + "\n" + self._line("… ")
            except EOFError:
                if self.terminal:
                    print()
                raise LiuliError(f"the input ended within a message: end it with {BLOCK if block else 'a line'}") from None
        if block:
            return Said(text.rstrip().removeprefix(BLOCK).removesuffix(BLOCK).strip("\n"), False)
        return Said(text.strip(), text.startswith("/"))

    def edited(self, text: str) -> str:
        """`text` as somebody changes it at the terminal."""
        self._readline.set_startup_hook(lambda: self._readline.insert_text(text))
        try:
            return self._line("> ").strip()
        finally:
            self._readline.set_startup_hook(None)

    def _line(self, prompt: str) -> str:
        self.number += 1
        try:
            if self.terminal:
                return input(prompt)
            line = sys.stdin.buffer.readline().decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            where = f"byte {error.start + 1} is 0x{error.object[error.start]:02X}"
            raise LiuliError(f"what was said is not UTF-8 text: {where}") from None
        if not line:
            raise EOFError
        return line.rstrip("\r\n")


def _closed(text: str) -> bool:
    """Whether a block has come to its end."""
    return len(text.rstrip()) >= 2 * len(BLOCK) and text.rstrip().endswith(BLOCK)


class CtrlC:
    """While it is entered, Ctrl-C is a KeyboardInterrupt during a line only, and during a reply if it is the second one.

    Attributes:
        asked: whether it was pressed during the reply.
    """

    def __init__(self) -> None:
        self.asked = False
        self._during: Literal["line", "reply"] | None = None

    def __enter__(self) -> "CtrlC":
        self._before: Any = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def during(self, what: Literal["line", "reply"]) -> Iterator[None]:
        self.asked, self._during = False, what
        try:
            yield
        finally:
            self._during = None

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._during == "line" or (self._during == "reply" and self.asked):
            raise KeyboardInterrupt
        self.asked = True
