"""The drawing of the view tokens: the tokens as blocks, and how each chunk of the text was made."""

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.columns import Columns
from rich.text import Text

from liuli.cli.look.drawing import heading, passage_token_name
from liuli.cli.look.table import ACCENT
from liuli.cli.output import Screen
from liuli.cli.wording import token_name
from liuli.display import visible
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.inside.passage import Passage
    from liuli.inside.tokens import TokensView
    from liuli.tokens.trace import Chunk

STAIRS = 8  # merges of a chunk that are drawn with all tokens of the chunk; of a longer one, only what changes
MERGES = 60  # of all chunks that are listed
RANK = 14  # cells after the tokens of a merge


def draw_tokens(screen: Screen, view: "TokensView") -> None:
    """Prints the tokens as blocks, then how each chunk was made, then the same text in other tokenizers."""
    sizes = counted(view.characters, "character"), counted(view.bytes, "byte"), view.kind
    heading(screen, f"{counted(len(view.input.ids), 'token')} with their ids ({', '.join(sizes)})")
    _print_blocks(screen, view.input)
    made = [chunk for chunk in view.chunks if chunk.joins or chunk.matches]
    if made:
        merged = any(chunk.joins for chunk in made)
        heading(
            screen,
            "The merges, in order. The pair with the lowest rank is merged first"
            if merged
            else "The longest matches, from the left",
        )
    left = MERGES
    for number, chunk in enumerate(made):
        if left <= 0:
            screen.print_text(
                f"\n… and {counted(len(made) - number, 'more part')} of the text; --json lists all merges", style="dim"
            )
            break
        _print_chunk(screen, chunk, left)
        left -= len(chunk.joins) + len(chunk.matches)
    for other in view.others:
        number = counted(len(other.input.ids), "token")
        heading(screen, f"{other.path}: {number} ({other.kind}, {other.vocab_size:,} ids)")
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


def _print_chunk(screen: Screen, chunk: "Chunk", most: int) -> None:
    """How a part of the text was tokenized: all its tokens after each merge if that is short, else only the merges."""
    screen.print_text(f"\n{visible(chunk.text, chunk.text.encode())}", style=ACCENT)
    for match in chunk.matches:
        screen.print_text(f"[{match.start}:{match.end}] {token_name(match.piece)} (id {match.piece.id})", before="  ")
    names = [token_name(symbol) for symbol in chunk.symbols]
    widest = cell_len(" ".join(names)) + RANK
    if len(chunk.joins) <= min(STAIRS, most) and widest <= screen.width:
        _print_stairs(screen, chunk, names)
    elif chunk.joins:
        _print_merges(screen, chunk, most)


def _print_stairs(screen: Screen, chunk: "Chunk", names: list[str]) -> None:
    """The tokens before the first merge, and after each one; what was just merged has a colour."""
    if not chunk.joins:
        return
    cells = cell_len(" ".join(names)) + 2
    screen.print(
        Text(f"  {' '.join(names)}").append(" " * (cells - cell_len(" ".join(names)))).append("rank", "dim"), soft_wrap=True
    )
    for join in chunk.joins:
        names[join.at : join.at + 2] = [token_name(join.result)]
        line = Text("  ")
        for place, name in enumerate(names):
            line.append(name, f"bold {ACCENT}" if place == join.at else "").append(" ")
        line.append(" " * (cells + 2 - line.cell_len)).append(f"{join.rank:,}", "dim")
        screen.print(line, soft_wrap=True)


def _print_merges(screen: Screen, chunk: "Chunk", most: int) -> None:
    """What each merge joins, in order, from the top to the bottom of each column."""
    ranks = max(len(f"{join.rank:,}") for join in chunk.joins)
    found = []
    for join in chunk.joins[:most]:
        line = Text().append(f"  {join.rank:>{ranks},}  ", "dim")
        line.append(f"{token_name(join.left)} + {token_name(join.right)} → ")
        found.append(line.append(token_name(join.result), f"bold {ACCENT}"))
    screen.print(Columns(found, padding=(0, 2), column_first=True))
    if len(chunk.joins) > most:
        screen.print_text(f"  … and {counted(len(chunk.joins) - most, 'more merge')}; --json lists all", style="dim")
