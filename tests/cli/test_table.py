"""Tables and lists at a terminal: no number is cut at any width, and bars take the room that is left."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.text import Text

from liuli.cli.look.table import Bar, Column, print_items, print_table
from liuli.cli.output import Screen

COLUMNS = [Column("token"), Column("share"), Column("memory", right=True, spare=1), Column("remark", spare=2)]
ROWS = [
    ["小明", Bar(1.0, "100.00%"), "12.5 kB", "the most likely token"],
    ["去游乐园玩", Bar(0.5, "50.00%"), "1.25 kB", "another"],
    [Text("a"), "not listed", "7 B", ""],
]


def printed(width: int, terminal: bool = True) -> tuple[str, list[str]]:
    screen = Screen(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, _environ={"TERM": "xterm"})
    left_out = print_table(screen, COLUMNS, ROWS)
    return screen.file.getvalue(), left_out  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("width", range(30, 121))
def test_every_line_fits_and_no_number_is_cut(width):
    text, left_out = printed(width)
    assert all(cell_len(line.rstrip()) <= width for line in text.splitlines())
    assert "…" not in text
    shown = ["100.00%", "50.00%", "not listed"]
    shown += [] if "memory" in left_out else ["12.5 kB", "1.25 kB"]
    assert all(number in text for number in shown)


def test_columns_are_left_out_in_the_given_order():
    assert printed(100)[1] == []
    assert printed(50)[1] == ["remark"]
    assert printed(36)[1] == ["memory", "remark"]


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_bars_are_as_long_as_their_shares(width):
    whole, half = (line.count("█") for line in printed(width)[0].splitlines()[1:3])
    assert 6 <= whole <= 40 and half == whole // 2


def test_bars_begin_in_one_column():
    whole, half = printed(80)[0].splitlines()[1:3]
    assert cell_len(whole.partition("█")[0]) == cell_len(half.partition("█")[0])


def items(width: int, terminal: bool) -> list[str]:
    screen = Screen(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, _environ={"TERM": "xterm"})
    print_items(screen, [f"小明 {n}%" for n in range(10, 30)], before="reads  ")
    return screen.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]


def test_items_are_not_broken_and_continue_below_the_first():
    lines = items(40, terminal=True)
    assert lines[0].startswith("reads  小明 10%")
    assert all(line.startswith("       小明 ") for line in lines[1:])
    assert all(cell_len(line) <= 40 for line in lines)
    assert re.findall(r"小明 (\d+)%", "\n".join(lines)) == [str(n) for n in range(10, 30)]


def test_items_stay_on_one_line_in_a_pipe():
    assert len(items(40, terminal=False)) == 1
