"""Prints what the statistics of a corpus and of dialogues have in common."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from liuli.cli.output import Screen
from liuli.cli.wording import bar
from liuli.display import visible
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.data.records.skipped import Skipped
    from liuli.data.text.statistics import Lengths

BAR = 40  # cells of a script with all characters
INDENT = 4  # cells in front of an excerpt


def quantiles(lengths: "Lengths", unit: str) -> str:
    """Lengths on one line; the last number has the unit."""
    parts = f"min {lengths.min:,}, median {lengths.median:,.12g}, mean {lengths.mean:,.0f}, p95 {lengths.p95:,}"
    return f"{parts}, max {counted(lengths.max, unit)}"


def print_counts(console: Screen, rows: Iterable[tuple[str, str]], scripts: dict[str, int], skipped: "list[Skipped]") -> None:
    """The table of counts and lengths, the characters of each script with bars, and what was skipped."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    console.print()
    total = sum(scripts.values())
    for name, count in scripts.items():
        share = count / total
        numbers = f"{name:<12} {count:>14,}  {share:>6.1%}  "
        console.print_text(bar(share, min(BAR, console.width - len(numbers))), before=numbers)
    print_skipped(console, skipped)


def print_skipped(console: Screen, several: "list[Skipped]") -> None:
    """Each reason for which input was skipped, with the first places."""
    for skipped in several:
        console.print_text(f"\nskipped {skipped.heading}")
        for place in skipped.places:
            console.print_text(f"    {place}")
        if skipped.elsewhere:
            console.print_text(f"    and {skipped.elsewhere:,} in other files")


def print_excerpt(console: Screen, text: str, cut: bool, before: str = "") -> None:
    """A part of a text, with its white space visible. `before`: what stands in front of it."""
    shown = "".join(c if c in " ·" else visible(c, c.encode()) for c in text) + "…" * cut
    for line in _wrapped(before + shown, console.width - INDENT):
        console.print(Text(" " * INDENT + line), soft_wrap=True)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, of which a Chinese character has two, broken at it or between words of ASCII."""
    lines, used = [""], 0
    for unit in re.findall(r"[!-~]{1,20} ?|.", text):
        cells = cell_len(unit)
        if used + cells > width:
            lines, used = [*lines, ""], 0
        lines[-1] += unit
        used += cells
    return lines
