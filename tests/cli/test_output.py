"""What every command prints through: cleaned text, errors of one line, and tracebacks if they are asked for."""

import io
import json
import re
import sys

import pytest
from helpers.terminal import DRIVES, HOSTILE
from rich.cells import cell_len
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from liuli.cli import output
from liuli.cli.output import Screen
from liuli.errors import LiuliError


def test_a_screen_shows_foreign_text_as_text():
    screen = Screen(file=io.StringIO(), width=400)
    table = Table(f"[b]head[/b] {HOSTILE}")
    table.add_row(f"[/b] cell {HOSTILE}")
    for shown in (f"[red]plain {HOSTILE}", Text(HOSTILE), table, Panel(HOSTILE, title=Text(HOSTILE))):
        screen.print(shown)
    screen.rule(Text(HOSTILE))
    screen.rule(f"[red]{HOSTILE}")
    text = screen.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert not DRIVES.findall(text)
    for words in ("[red]plain ", "[b]head[/b] ", "[/b] cell ", ":smile:", "[/b]:smile:"):
        assert words in text


def test_a_screen_keeps_richs_own_colours_and_movements():
    from rich.live import Live

    screen = Screen(file=io.StringIO(), force_terminal=True, color_system="standard", width=80, _environ={"TERM": "xterm"})
    with Live(Text("panel"), console=screen, transient=True):
        screen.print(Text("red \x1b[5m", style="red"))
    text = screen.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "\x1b[31mred <U+001B>[5m\x1b[0m" in text
    assert "\x1b[?25l" in text  # the cursor is hidden while the panel is shown


def test_say_and_note(capsys):
    output.say(f"a\nb\t{HOSTILE}")
    output.note(f"a\nb\t{HOSTILE}")
    shown = capsys.readouterr()
    assert shown.out.startswith("a\nb\t<U+001B>]0;t<U+0007>")
    assert shown.err.startswith("liuli: a⏎b⇥<U+001B>]0;t")
    assert shown.err.endswith(":smile:\n")
    assert not DRIVES.findall(shown.out + shown.err)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "gbk"])
def test_json_parses_to_the_same_text(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    monkeypatch.setattr(sys, "stdout", stream)
    body = {HOSTILE: [f"天{HOSTILE}\n\x00", "\ud800", "“”"]}
    output.print_json(body)
    line = stream.buffer.getvalue().decode(encoding)  # pyright: ignore[reportAttributeAccessIssue]
    assert json.loads(line) == body
    assert not DRIVES.findall(line)
    assert line.count("\n") == 1
    assert ("天" in line) == (encoding == "utf-8")


def hidden(*_: object) -> None:
    """Raises a LiuliError whose cause is hidden by `from None`, as many are."""
    try:
        raise ValueError(f"the first cause {HOSTILE}")
    except ValueError:
        raise LiuliError("what the user is told") from None


@pytest.mark.parametrize("value", [None, "0", "", "1"])
def test_a_traceback_is_shown_with_its_causes_if_it_is_asked_for(liuli, monkeypatch, value):
    monkeypatch.setattr("liuli.cli.plan.make_plan", hidden)
    if value is not None:
        monkeypatch.setenv("LIULI_TRACEBACK", value)
    result = liuli("plan", "nano")
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith("liuli: what the user is told\n")
    if value == "1":
        assert result.err.startswith("Traceback (most recent call last):\n")
        assert "ValueError: the first cause <U+001B>]0;t" in result.err
        assert "in hidden" in result.err
        assert not DRIVES.findall(result.err)
    else:
        assert result.err.count("\n") == 1


def test_errors_that_point_at_each_other_end():
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    output.show_traceback(one)


class Panic(BaseException):
    """What a library in Rust raises."""


@pytest.mark.parametrize("kind", [KeyError, Panic])
def test_a_bug_is_shown_with_its_traceback(liuli, monkeypatch, kind):
    def broken(*_: object) -> None:
        raise kind(HOSTILE) from RuntimeError(HOSTILE)

    monkeypatch.setattr("liuli.cli.plan.make_plan", broken)
    result = liuli("plan", "nano")
    assert (result.code, result.out) == (1, "")
    assert "RuntimeError: <U+001B>]0;t" in result.err
    assert result.err.endswith("liuli: this is a bug in Liuli: please report it with the lines above\n")
    assert not DRIVES.findall(result.err)


def test_help_names_the_variable(liuli):
    assert "LIULI_TRACEBACK=1" in liuli("--help").out


def wrapped(text: str, width: int) -> list[str]:
    screen = Screen(file=io.StringIO(), force_terminal=True, color_system=None, width=width, _environ={"TERM": "xterm"})
    screen.print_text(text)
    return screen.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("width", range(24, 60))
def test_a_text_wraps_between_words_and_between_chinese_characters(width):
    text = "概率是模型自身的（温度为 1，没有去掉任何 token），不是采样器处理之后的。The weights stay as they are."
    lines = wrapped(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(cell_len(line) >= width - 12 for line in lines[:-1]), "lines are full, but for a word"
    assert not [line for line in lines if line[0] in "，。）"]
    assert {"token", "weights", "The"} <= {word for line in lines for word in re.findall(r"[A-Za-z]+", line)}


def test_a_word_that_is_longer_than_a_line_is_broken():
    assert wrapped("a " + "x" * 60, 30) == ["a", "x" * 30, "x" * 30]
