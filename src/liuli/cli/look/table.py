"""Tables and lists that fit the terminal: no number is ever cut. Columns are left out in a given order, bars take the room that
is left, and the items of a list are not broken."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from liuli.cli.output import Screen
from liuli.cli.wording import bar

ACCENT = "cyan"
GAP = 2  # columns of the terminal between two columns of a table
LEAST_BAR, MOST_BAR = 6, 40  # cells of a share of 1


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        right: whether its cells end at the right.
        spare: 0: it is always shown. If the terminal is too narrow, the columns with the largest number are left out first.
    """

    name: str
    right: bool = False
    spare: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """A cell with a number and a bar for a share of 1."""

    share: float
    number: str = ""
    style: str = ACCENT


Cell = str | Text | Bar


def print_table(screen: Screen, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """Prints a table without lines, and returns the names of the columns that were left out."""
    kept = _kept(columns, rows, screen.width)
    bars = [c for c in kept if _numbers(rows, c) is not None]
    room = screen.width - _width(columns, rows, kept)
    longest = min(MOST_BAR, max(0, LEAST_BAR + room // max(1, len(bars))))
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="dim")
    for c in kept:
        right = columns[c].right
        table.add_column(columns[c].name, justify="right" if right else "left", no_wrap=right or c in bars, overflow="fold")
    numbers = {c: _numbers(rows, c) or 0 for c in kept}
    for row in rows:
        table.add_row(*(_cell(row[c], numbers[c], longest) for c in kept))
    screen.print(table)
    return [column.name for c, column in enumerate(columns) if c not in kept]


def table_fits(screen: Screen, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> bool:
    """Whether the terminal is wide enough for all columns."""
    return _width(columns, rows, range(len(columns))) <= screen.width


def _kept(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> list[int]:
    """The numbers of the columns that are shown."""
    kept = list(range(len(columns)))
    while _width(columns, rows, kept) > width:
        most = max(columns[c].spare for c in kept)
        if not most:
            break
        kept = [c for c in kept if columns[c].spare < most]
    return kept


def _width(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], kept: Sequence[int]) -> int:
    """Of the table, with the shortest bars."""
    widths = []
    for c in kept:
        numbers = _numbers(rows, c)
        widest = max((cell_len(str(row[c])) for row in rows), default=0) if numbers is None else numbers + LEAST_BAR
        widths.append(max(cell_len(columns[c].name), widest))
    return sum(widths) + GAP * (len(kept) - 1)


def _numbers(rows: Sequence[Sequence[Cell]], c: int) -> int | None:
    """The cells that the numbers before the bars of a column take, with a space; None if it has no bars."""
    found = [row[c] for row in rows]
    if not any(isinstance(cell, Bar) for cell in found):
        return None
    widest = max(cell_len(cell.number if isinstance(cell, Bar) else str(cell)) for cell in found)
    return widest + 1 if widest else 0


def _cell(cell: Cell, numbers: int, longest: int) -> str | Text:
    if not isinstance(cell, Bar):
        return cell
    number = f"{' ' * (numbers - 1 - cell_len(cell.number))}{cell.number} " if numbers else ""
    return Text.assemble(number, (bar(min(1.0, cell.share), longest), cell.style))


def print_items(screen: Screen, items: Sequence[str], before: str = "", style: str = "") -> None:
    """Prints a list: a line that does not fit is continued below the first item, and no item is broken. In a pipe or a file,
    the list stays on one line."""
    margin = cell_len(before)
    line = ""
    for item in items:
        longer = f"{line}{' ' * GAP}{item}" if line else item
        if line and screen.is_terminal and margin + cell_len(longer) > screen.width:
            screen.print(Text.assemble(before, (line, style)), soft_wrap=True)
            before, longer = " " * margin, item
        line = longer
    screen.print_text(Text(line, style), before=before)
