"""What comes in on standard input: a whole text, or the messages and commands of a chat."""

import re
import sys
from typing import NamedTuple

from liuli.cli.line_editor import LineEditor
from liuli.cli.output import say
from liuli.errors import LiuliError

BLOCK = '"""'
COMMAND = "[/／]|、(?=[a-zA-Z])"  # how a command begins; a Chinese input method types the last two for /


def read_text(text: str) -> str:
    """`text` itself, or all of standard input if it is "-"; not one byte is changed.

    Raises:
        LiuliError: standard input is not UTF-8.
    """
    if text != "-":
        return text
    data = sys.stdin.buffer.read()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise LiuliError(
            f"standard input is not UTF-8 text: byte {error.start + 1} of {len(data)} is 0x{data[error.start]:02X}; convert it "
            "to UTF-8, for example with iconv"
        ) from None


class ChatEntry(NamedTuple):
    """What somebody typed. `command`: it begins with / and is not inside a block. `quoted`: it is the content of a block."""

    text: str
    command: bool = False
    quoted: bool = False


class ChatInput:
    """Messages and commands on standard input, one at a time. At a terminal, a `LineEditor` reads the lines.

    A line that ends with a backslash continues on the next line. All lines between `\"\"\"` and `\"\"\"` are one
    message, never a command.

    Attributes:
        number: how many lines have been read.
    """

    def __init__(self, terminal: bool):
        self.terminal, self.number = terminal, 0
        self._editor = LineEditor() if terminal else None

    def read(self) -> ChatEntry:
        """The next entry that is not blank.

        Raises:
            EOFError: there is none.
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
                    say()
                if block:
                    raise LiuliError(f"the input ended within a message: end the message with {BLOCK}") from None
                raise LiuliError("the input ended after a line that ends with \\: add a line, or remove the \\") from None
        if block:
            return ChatEntry(text.rstrip().removeprefix(BLOCK).removesuffix(BLOCK).strip("\n"), quoted=True)
        text = text.strip()
        sign = re.match(COMMAND, text)
        return ChatEntry(f"/{text[sign.end() :]}", command=True) if sign else ChatEntry(text)

    def edited(self, text: str) -> str:
        """`text` as the user changes it at the terminal, which is given it as it is: it must not drive the terminal."""
        return self._line("> ", text).strip()

    def _line(self, prompt: str, begun: str = "") -> str:
        self.number += 1
        try:
            if self._editor:
                return self._editor.read(prompt, begun)
            line = sys.stdin.buffer.readline().decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            where = f"byte {error.start + 1} is 0x{error.object[error.start]:02X}"
            raise LiuliError(f"the message is not UTF-8 text: {where}; convert it to UTF-8") from None
        if not line:
            raise EOFError
        return line.rstrip("\r\n")


def _closed(text: str) -> bool:
    """Whether a block has come to its end."""
    return len(text.rstrip()) >= 2 * len(BLOCK) and text.rstrip().endswith(BLOCK)
