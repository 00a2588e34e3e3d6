"""Parts of the statistics of a corpus and of dialogues, as they are printed for people."""

import re
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from liuli.cli.output import Screen
from liuli.cli.wording import counted
from liuli.display import visible

if TYPE_CHECKING:
    from liuli.data.records.skipped import Skipped
    from liuli.data.text.statistics import Lengths

BAR = 40  # cells of a script with all characters
INDENT = 4  # cells in front of an excerpt


def quantiles(lengths: "Lengths", unit: str) -> str:
    """Lengths on one line; the last number has the unit."""
    parts = f"min {lengths.min:,}, median {lengths.median:,.12g}, mean {lengths.mean:,.0f}, p95 {lengths.p95:,}"
    return f"{parts}, max {counted(lengths.max, unit)}"


def print_scripts(console: Screen, scripts: dict[str, int]) -> None:
    """The number of characters of each script, with bars."""
    total = sum(scripts.values())
    for name, count in scripts.items():
        share = count / total
        console.print(Text(f"{name:<12} {count:>14,}  {share:>6.1%}  {'█' * round(share * BAR)}"))


def print_skipped(console: Screen, several: "list[Skipped]") -> None:
    """Each reason for which input was skipped, with the first places."""
    for skipped in several:
        console.print(Text(f"\nskipped {skipped.heading}"), soft_wrap=True)
        for place in skipped.places:
            console.print(Text(f"    {place}"), soft_wrap=True)
        if skipped.elsewhere:
            console.print(f"    and {skipped.elsewhere:,} in other files")


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
