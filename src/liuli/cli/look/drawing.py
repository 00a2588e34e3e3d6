"""What the drawings of views share: headings, shaded cells, and the lines below a view."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.table import Table
from rich.text import Text

from liuli.cli.output import Screen
from liuli.display import visible
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.inside.arrays import Array
    from liuli.inside.passage import PassageToken
    from liuli.inside.view import View
    from liuli.tokens import Token

SHADES = " ░▒▓█"
ACCENT = "cyan"


def shade(share: float) -> str:
    """One cell: the darker, the larger a share of 1."""
    return SHADES[min(len(SHADES) - 1, max(0, round(share * (len(SHADES) - 1))))]


def passage_token_name(token: "PassageToken") -> str:
    """A token at its place: a part of a character is shown as the character and which part it is."""
    name = visible(token.shown) or "∅"
    first, count = token.part
    return f"{name}({first + 1}/{count})" if count > 1 else name


def fitted(name: str, cells: int) -> str:
    """Exactly as many cells: shortened with an ellipsis, or filled with spaces."""
    return set_cell_size(name, cells) if cell_len(name) <= cells else set_cell_size(name, cells - 1) + "…"


def by_id(tokens: "Sequence[Token]") -> "dict[int, Token]":
    """Tokens by their ids."""
    return {token.id: token for token in tokens}


def heading(screen: Screen, text: str) -> None:
    """A heading between two parts of a view."""
    screen.print()
    screen.print_text(text, style="bold")


def plain_table(*columns: str, right: Sequence[int] = ()) -> Table:
    """A table without lines. `right`: the numbers of the columns whose cells are aligned to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in right else "left", no_wrap=True)
    return table


def print_introduction(screen: Screen, view: "View", shows: str) -> None:
    """What the view shows, of which model and which text."""
    screen.print_text(shows, style="bold")
    model = view.model
    adapter = f" with the adapter {model.adapter['path']}" if model.adapter else ""
    sizes = f"{counted(model.layers, 'layer')} of {counted(model.heads, 'head')}"
    screen.print_text(f"{model.path}{adapter}: {sizes}, {counted(len(view.input.ids), 'token')} read", style="dim")


def print_checks(screen: Screen, view: "View", caveats: Sequence[str]) -> None:
    """What the view cannot show, and the checks that failed; one line says that all others hold."""
    screen.print()
    for text in caveats:
        screen.print_text(text, style="dim")
    failed = [check for check in view.checks if not check.ok]
    for check in failed:
        limits = f"{check.meaning} is {check.value:g} {check.unit} (limit {check.limit:g}). The numbers may be wrong"
        screen.print_text(f"self-check failed: {limits}: please report this", style="red")
    if not failed:
        each = "; ".join(f"{check.meaning} is {check.value:.1g}" for check in view.checks)
        screen.print_text(f"Checked: {each}.", style="dim")


def print_grid(
    screen: Screen, rows: Sequence[str], columns: Sequence[str], values: "Array", column_cells: int = 2, largest: float = 0.0
) -> None:
    """A grid of shaded cells. Columns that do not fit are left out at the left, and the grid says so.

    Args:
        values: (rows, columns), shown as shares of `largest`; negative values in another colour.
        largest: default: the largest absolute value.
    """
    largest = largest or float(abs(values).max(initial=0)) or 1.0
    left = max(map(cell_len, rows), default=0) + 2
    shown = max(1, min(len(columns), (screen.width - left) // column_cells))
    first = len(columns) - shown
    for name, row in zip(rows, values, strict=True):
        line = Text(fitted(name, left))
        for value in row[first:]:
            share = float(value) / largest
            line.append(shade(abs(share)) * column_cells, "red" if share < 0 else "")
        screen.print(line, soft_wrap=True)
    if first:
        screen.print_text(f"The first {first} of {len(columns)} columns do not fit.", style="dim")
