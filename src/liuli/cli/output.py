"""The only way from a command to the terminal. Everything that is printed is cleaned here once more (`liuli/display.py`), so
that text from a model, a file or the command line cannot drive the terminal and is never read as markup.

Results go to standard output, remarks and errors to standard error. Texts that are promised to be exact in a pipe go through
`stream`. At a terminal, lines that do not fit are wrapped between words, except errors and commands, which can be copied; in a
pipe or a file every line stays whole.
"""

import json
import os
import re
import sys
import traceback
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from liuli.display import escaped, on_line, on_screen

if TYPE_CHECKING:
    from liuli.data.records.skipped import Skipped

TRACEBACK = "LIULI_TRACEBACK"  # the environment variable that asks for tracebacks
CLOSING = frozenset("，。、；：！？）》」』”’…,.;:!?)")  # they do not begin a line
CHINESE_CLAUSE = re.compile("[\u2e80-\U0003ffff]{9,}")  # so many wide characters without a space are wrapped between characters
LEAST_ROOM = 24  # columns for an indented text; if there are fewer, its continuation is not indented


class Screen(Console):
    """Rich's console for foreign text: no markup, no emoji codes, no highlighting, and no character that would drive the
    terminal except those of rich itself."""

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of anything that rich can show, cleaned."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(on_screen(segment.text), segment.style)

    def print_text(self, text: str | Text, style: str = "", before: str = "") -> None:
        """Prints a text of one or several lines. At a terminal, a line that does not fit is wrapped between words, and
        continues under its first word; in a pipe or a file it stays whole.

        Args:
            before: printed before each line; its continuation begins below the text, not below this.
        """
        text = Text(on_screen(text), style) if isinstance(text, str) else text
        for part in text.split("\n", allow_blank=True):
            indent = len(part.plain) - len(part.plain.lstrip(" "))
            margin, rest = Text(before) + part[:indent], part[indent:]
            if not self.is_terminal or margin.cell_len + rest.cell_len <= self.width:
                self.print(margin + rest, soft_wrap=True)
                continue
            if self.width - margin.cell_len < LEAST_ROOM:
                margin, rest = Text(), margin + rest
            room = self.width - margin.cell_len
            lines = _wrapped(rest, room) if CHINESE_CLAUSE.search(rest.plain) else rest.wrap(self, room)
            for number, each in enumerate(lines):
                each.rstrip()
                self.print((Text(" " * margin.cell_len) if number else margin) + each, soft_wrap=True)

    def print_command(self, text: str) -> None:
        """Prints a command on one line, however narrow the terminal is, so that it can be copied."""
        self.print(Text(text), soft_wrap=True)


def _wrapped(text: Text, width: int) -> Iterable[Text]:
    """The lines of a text, each of at most `width` cells. A line ends after a space, or between two characters of which one is
    wide (as Chinese ones are), except before a closing mark; only a word that is longer than a line is broken."""
    text = text.copy()
    text.expand_tabs()
    breaks: list[int] = []
    start, used, possible = 0, 0, 0
    plain = text.plain
    for place, character in enumerate(plain):
        cells = cell_len(character)
        if place and _may_break(plain[place - 1], character):
            possible = place
        if used + cells > width and not (character == " " and used == width):
            start = possible if possible > start else place
            breaks.append(start)
            used = cell_len(plain[start:place])
        used += cells
    for line in text.divide(breaks):
        line.rstrip()
        yield line


def _may_break(before: str, after: str) -> bool:
    """Whether a line may end between two characters."""
    wide = cell_len(before) == 2 or cell_len(after) == 2
    return (before == " " and after != " ") or (wide and after not in CLOSING and after != " ")


def say(text: str = "") -> None:
    """Prints a result of one or several lines to standard output."""
    if sys.stdout.isatty():
        Screen().print_text(text)
    else:
        print(on_screen(text), flush=True)


def stream(text: str) -> None:
    """Writes a part of a text at once and without a line end: cleaned on a terminal, exactly as it is to a pipe or a file."""
    sys.stdout.write(on_screen(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def end_stream(last: str) -> None:
    """Ends what `stream` wrote; `last`: its last part, or "". A terminal gets a line break. A pipe or a file gets nothing,
    but if standard error goes to the same place, the next remark begins on a line of its own."""
    if sys.stdout.isatty():
        stream("\n")
    elif last and not last.endswith("\n") and _share_a_pipe():
        print(file=sys.stderr, flush=True)


def _share_a_pipe() -> bool:
    """Whether standard output and standard error go to one place."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):  # one of them is no file
        return False


def bracket_pastes(wanted: bool) -> None:
    """Asks the terminal to put ESC [200~ and ESC [201~ around what is pasted, or to stop doing so."""
    sys.stdout.write("\x1b[?2004h" if wanted else "\x1b[?2004l")
    sys.stdout.flush()


def note(text: str) -> None:
    """Prints a remark to standard error."""
    if sys.stderr.isatty():
        Screen(stderr=True).print_text(f"liuli: {on_line(text)}")
    else:
        note_error(text)


def note_error(text: str) -> None:
    """Prints an error on one line to standard error."""
    print(f"liuli: {on_line(text)}", file=sys.stderr, flush=True)


def note_skipped(skipped: "list[Skipped]") -> None:
    """Prints which of the sources were not used and why, one line per reason, to standard error."""
    for each in skipped:
        note(f"skipped {each}")


def print_json(body: dict[str, Any]) -> None:
    """Prints one object on one line. Chinese is printed as it is, unless the output's encoding lacks it. What would drive a
    terminal is escaped, so that the JSON parses to the same text."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(escaped(json.dumps(body, ensure_ascii=not unicode, allow_nan=False)), flush=True)


def note_traceback(error: BaseException) -> None:
    """Prints where an error came from, with all its causes, to standard error if the environment variable LIULI_TRACEBACK is
    set to something else than 0."""
    if os.environ.get(TRACEBACK, "0") not in ("", "0"):
        show_traceback(error)


def show_traceback(error: BaseException) -> None:
    """Prints where an error came from, with all its causes, to standard error."""
    print(on_screen("".join(traceback.format_exception(_with_causes(error)))), end="", file=sys.stderr, flush=True)


def _with_causes(error: BaseException) -> BaseException:
    """The same error; causes hidden by `raise ... from None` are shown again."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        cause.__suppress_context__ = False
        cause = cause.__cause__ or cause.__context__
    return error
