"""The drawing of the view vectors: numbers, neighbours, and a map."""

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from liuli.cli.look.drawing import heading
from liuli.cli.look.table import ACCENT, GAP, Column, print_items, print_table
from liuli.cli.output import Screen
from liuli.cli.wording import token_name

if TYPE_CHECKING:
    from liuli.inside.vectors import TokenVector, VectorsView

MAP_ROWS = 18
NUMBER_CELLS = 8  # of a number in a vector, with the space after it
TABLE_CELLS = 24  # of the other columns, besides the name
LISTED = 12  # tokens in the lists; the map has all


def draw_vectors(screen: Screen, view: "VectorsView") -> None:
    """Prints the first numbers and the neighbours of the tokens, and the map."""
    listed = view.vectors[:LISTED]
    names = {each.point: token_name(each.token) for each in listed}
    width = max(map(cell_len, names.values()))
    heading(
        screen, f"A token is a row of {view.model.width:,} numbers in the embedding table: the first of them, and its length"
    )
    _print_numbers(screen, listed, names, width)
    remark = _before_the_first_layer(view)
    if remark:
        screen.print_text(remark, style="dim")
    heading(screen, "The tokens whose vectors are most similar (cosine, 1 is the same direction)")
    for each in listed:
        near = [f"{token_name(view.points[at])} {cosine:.2f}" for at, cosine in zip(each.neighbours, each.cosines, strict=True)]
        name = names[each.point]
        print_items(screen, near, before=f"{name}{' ' * (width - cell_len(name))}  ")
    if len(view.vectors) > len(listed):
        screen.print_text(f"… the first {len(listed)} of {len(view.vectors)} different tokens; --json lists all", style="dim")
    shares = " and ".join(f"{share:.0%}" for share in view.explained)
    heading(screen, f"A map: its axes show {shares} of the differences between these vectors")
    _print_map(screen, view)
    own = "in colour" if screen.color_system is not None else "in [ ]"
    screen.print_text(f"Tokens of the text are {own}; a dot is a token for whose name there is no room.", style="dim")


def _before_the_first_layer(view: "VectorsView") -> str:
    """What the model makes of a row before its first layer reads it; "" if nothing."""
    changes = []
    if view.factor != 1:
        changes.append(f"multiplies the row by {view.factor:.2f} (√{view.model.width:,})")
    if view.adds_positions:
        changes.append("adds the vector of the token's place in the text")
    return f"Before the first layer, this model {' and '.join(changes)}." if changes else ""


def _print_numbers(screen: Screen, listed: "tuple[TokenVector, ...]", names: dict[int, str], width: int) -> None:
    """As many numbers as there is room for."""
    shown = max(1, min(len(listed[0].first), (screen.width - width - TABLE_CELLS) // (NUMBER_CELLS + GAP)))
    columns = [Column("token"), *(Column(f"number {n}" if n == 1 else str(n), right=True) for n in range(1, shown + 1))]
    columns += [Column(""), Column("length", right=True)]
    rows = [[names[each.point], *(f"{n:+.3f}" for n in each.first[:shown]), "…", f"{each.size:.3f}"] for each in listed]
    print_table(screen, columns, rows)


def _print_map(screen: Screen, view: "VectorsView") -> None:
    """Names at their places. The tokens of the text are drawn first; a neighbour whose place is taken is a dot."""
    width = screen.width - 1
    cells = [[(" ", "")] * (width + 1) for _ in range(MAP_ROWS)]  # the last column stays free
    low, high = view.xy.min(0), view.xy.max(0)
    span = [float(each) or 1.0 for each in high - low]
    own = [each.point for each in view.vectors]
    for point in [*own, *(point for point in range(len(view.points)) if point not in set(own))]:
        name = token_name(view.points[point])
        if point in own and screen.color_system is None:
            name = f"[{name}]"
        x, y = (float(view.xy[point, axis] - low[axis]) / span[axis] for axis in (0, 1))
        row, column = round((1 - y) * (MAP_ROWS - 1)), round(x * (width - 1))
        start = max(0, min(column, width - cell_len(name)))
        end = min(width, start + cell_len(name))
        if all(cells[row][at][0] == " " for at in range(max(0, start - 1), end + 1)):
            cells[row][start:end] = [(name, f"bold {ACCENT}" if point in own else ""), *[("", "")] * (end - start - 1)]
        elif cells[row][column][0] == " ":
            cells[row][column] = ("·", "dim")
    for line in cells:
        screen.print(Text.assemble(*line[:-1]), soft_wrap=True)
