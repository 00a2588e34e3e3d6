"""The drawings of the views tokens and vectors."""

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from liuli.cli.look.drawing import ACCENT, heading, passage_token_name, plain_table
from liuli.cli.output import Screen
from liuli.cli.wording import token_name
from liuli.display import visible
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.inside.passage import Passage
    from liuli.inside.tokens import TokensView
    from liuli.inside.vectors import VectorsView
    from liuli.tokens.trace import Chunk

MAP_ROWS = 18
NUMBER = "{:+.3f}"


def draw_tokens(screen: Screen, view: "TokensView") -> None:
    """Prints the tokens as blocks, then how each chunk was made, then the same text in other tokenizers."""
    counts = counted(len(view.input.ids), "token"), counted(view.characters, "character"), counted(view.bytes, "byte")
    heading(screen, f"{', '.join(counts)} ({view.kind})")
    _print_blocks(screen, view.input)
    for chunk in view.chunks:
        if chunk.joins or chunk.matches:
            _print_chunk(screen, chunk)
    for other in view.others:
        count = counted(len(other.input.ids), "token")
        heading(screen, f"{other.path}: {count} ({other.kind}, {other.vocab_size:,} ids)")
        _print_blocks(screen, other.input)


def _print_blocks(screen: Screen, passage: "Passage") -> None:
    """Tokens next to each other, each with its id below, in as many lines as are needed."""
    names, ids, used = Text(), Text(), 0
    for token in passage.tokens:
        name = passage_token_name(token)
        cells = max(cell_len(name), len(str(token.id)))
        if used + cells + 1 > screen.width and used:
            screen.print(names, soft_wrap=True)
            screen.print(ids, soft_wrap=True)
            names, ids, used = Text(), Text(), 0
        names.append(name + " " * (cells - cell_len(name)), f"reverse {ACCENT}" if token.special else "reverse").append(" ")
        ids.append(str(token.id).ljust(cells), "dim").append(" ")
        used += cells + 1
    screen.print(names, soft_wrap=True)
    screen.print(ids, soft_wrap=True)


def _print_chunk(screen: Screen, chunk: "Chunk") -> None:
    """The pieces of a chunk before the first merge and after each one; or its matches."""
    screen.print_text(f"\n{visible(chunk.text, chunk.text.encode())}", style=ACCENT)
    for match in chunk.matches:
        screen.print_text(f"[{match.start}:{match.end}] {token_name(match.piece)} (id {match.piece.id})", before="  ")
    if not chunk.joins:
        return
    pieces = [token_name(symbol) for symbol in chunk.symbols]
    screen.print_text(" ".join(pieces), before="  ")
    for join in chunk.joins:
        pieces[join.at : join.at + 2] = [token_name(join.result)]
        screen.print_text(f"{' '.join(pieces)}   (rank {join.rank:,})", before="  ")


def draw_vectors(screen: Screen, view: "VectorsView") -> None:
    """Prints the first numbers and the neighbours of every token, and the map."""
    heading(screen, "The first numbers of each token's vector, and its length")
    width = max(cell_len(token_name(each.token)) for each in view.vectors)
    for each in view.vectors:
        name = token_name(each.token)
        numbers = " ".join(map(NUMBER.format, each.first))
        line = f"{name}{' ' * (width - cell_len(name))}  {numbers} …  length {each.size:.3f}"
        screen.print_text(line)
    heading(screen, "The tokens with the most similar vectors (cosine)")
    for each in view.vectors:
        near = [
            f"{token_name(view.points[point])} {cosine:.2f}"
            for point, cosine in zip(each.neighbours, each.cosines, strict=True)
        ]
        name = token_name(each.token)
        screen.print_text("   ".join(near), before=f"{name}{' ' * (width - cell_len(name))}  ")
    shares = " and ".join(f"{share:.0%}" for share in view.explained)
    heading(screen, f"A map: its axes show {shares} of the differences between these vectors")
    _print_map(screen, view)


def _print_map(screen: Screen, view: "VectorsView") -> None:
    """Names at their places. The tokens of the text are drawn first; a neighbour whose place is taken is a dot."""
    width, rows = screen.width - 1, MAP_ROWS
    cells = [[(" ", "")] * width for _ in range(rows)]
    low, high = view.xy.min(0), view.xy.max(0)
    span = [float(each) or 1.0 for each in high - low]
    own = [each.point for each in view.vectors]
    for point in [*own, *(point for point in range(len(view.points)) if point not in set(own))]:
        name = token_name(view.points[point])
        x, y = (float(view.xy[point, axis] - low[axis]) / span[axis] for axis in (0, 1))
        row, column = round((1 - y) * (rows - 1)), round(x * (width - 1))
        column = max(0, min(column, width - cell_len(name)))
        place = range(column, min(width, column + cell_len(name)))
        style = f"bold {ACCENT}" if point in own else ""
        if all(cells[row][at][0] == " " for at in place):
            for at in place:
                cells[row][at] = ("", "")
            cells[row][column] = (name, style)
        elif cells[row][column][0] == " ":
            cells[row][column] = ("·", "dim")
    for line in cells:
        screen.print(Text.assemble(*line), soft_wrap=True)
