"""The drawings of causes: influence of tokens, ablation of parts, and patching of states."""

from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from liuli.cli.look.drawing import AGAINST, CELLS, fitted, heading, passage_token_name, print_grid
from liuli.cli.look.table import ACCENT, Bar, Cell, Column, print_table
from liuli.cli.output import Screen
from liuli.cli.wording import token_name

if TYPE_CHECKING:
    from liuli.inside.ablation import AblationView
    from liuli.inside.contrast import Contrast
    from liuli.inside.influence import InfluenceView
    from liuli.inside.patching import PatchingView

NAME = 16  # cells of a token's name, at most
SMALL = 0.5  # logits: a change of the difference that is too small for a test
LAYER_COLUMNS = "  all heads  feed-forward"
LISTED = 8  # parts of a model
LEAST_COLUMN, WIDEST_COLUMN = 6, 20  # cells of a token in the grid of patching


def _question(contrast: "Contrast") -> str:
    names = token_name(contrast.target), token_name(contrast.other)
    return f"Why {names[0]} and not {names[1]}? The difference of their logits is {contrast.value:.2f}"


def _bar(value: float, largest: float) -> Bar:
    return Bar(abs(value) / (largest or 1.0), f"{value:+.2f}", ACCENT if value >= 0 else AGAINST)


def draw_influence(screen: Screen, view: "InfluenceView") -> None:
    """Prints every token's score by every method, as bars, and how well each method did in the deletion test."""
    heading(screen, _question(view.contrast))
    largest = np.nanmax(np.abs(view.scores), 1)
    rows: list[list[Cell]] = []
    for token in view.input.tokens[1:]:
        scores = [_bar(float(score), float(most)) for score, most in zip(view.scores[:, token.index], largest, strict=True)]
        rows.append([fitted(passage_token_name(token), NAME).rstrip(), *scores])
    print_table(screen, [Column("token"), *(Column(method) for method in view.methods)], rows)
    target = token_name(view.contrast.target)
    screen.print_text(f"In logits. Plus: the token makes {target} more likely. Minus: less likely.", style="dim")
    neutral = f"If all tokens but the first are replaced by a neutral one, the difference is {view.neutral:.2f}."
    small = abs(view.contrast.value - view.neutral) < SMALL
    screen.print_text(f"{neutral} That is nearly the same, so the test below says little." if small else neutral, style="dim")
    heading(screen, "A test of the scores: the tokens that matter most are removed first")
    left: list[list[Cell]] = [[method, f"{share:.0%}"] for method, share in zip(view.methods, view.deletion, strict=True)]
    mean, deviation = view.random_deletion
    left.append(["random orders", f"{mean:.0%} ± {deviation:.0%}"])
    print_table(screen, [Column("order by"), Column("difference that is left on average")], left)
    screen.print_text(
        "The less is left, the better. A method that is not below the random orders says nothing here.", style="dim"
    )


def draw_ablation(screen: Screen, view: "AblationView") -> None:
    """Prints a grid of all heads, and the parts whose removal changes most."""
    heading(screen, _question(view.contrast))
    layers, heads = view.heads.shape
    screen.print_text("The change without each head. Row: layer; column: head.")
    layer_names = list(map(str, range(layers)))
    shaded = max(map(len, layer_names)) + 2 + CELLS * heads
    if shaded + len(LAYER_COLUMNS) <= screen.width:
        screen.print(Text(" " * shaded + LAYER_COLUMNS, "dim"), soft_wrap=True)
        numbers = [f"{view.attention[layer]:>+9.2f}  {view.feed_forward[layer]:>+12.2f}" for layer in range(layers)]
        print_grid(screen, layer_names, view.heads, numbers)
    else:
        print_grid(screen, layer_names, view.heads)
    sign = "Red" if screen.color_system is not None else "-"
    screen.print_text(f"{sign}: without it, the model prefers {token_name(view.contrast.target)} less.", style="dim")
    heading(screen, "The parts with the largest changes")
    parts = [
        (float(view.heads[layer, head]), f"layer {layer}, head {head}") for layer in range(layers) for head in range(heads)
    ]
    for layer in range(layers):
        parts.append((float(view.attention[layer]), f"layer {layer}, all heads"))
        parts.append((float(view.feed_forward[layer]), f"layer {layer}, feed-forward"))
    parts.sort(key=lambda part: -abs(part[0]))
    rows = [[name, _bar(change, abs(parts[0][0]))] for change, name in parts[:LISTED]]
    print_table(screen, [Column("without"), Column("change of the difference, in logits")], rows)


def draw_patching(screen: Screen, view: "PatchingView") -> None:
    """Prints a grid of layers and tokens: how much one state of the first text restores in the other."""
    names = token_name(view.contrast.target), token_name(view.contrast.other)
    heading(screen, f"{names[0]} after the first text, {names[1]} after the other")
    values = f"{view.contrast.value:+.2f} after the first text and {view.other_value:+.2f} after the other"
    screen.print_text(f"The difference of their logits is {values}.")
    screen.print_text("Each number: how much of it comes back if this one state is taken from the first text.")
    screen.print()
    tokens = [
        passage_token_name(one) if one.id == other.id else f"{passage_token_name(other)}→{passage_token_name(one)}"
        for one, other in zip(view.input.tokens, view.other.tokens, strict=True)
    ]
    left = max(map(len, view.rows)) + 2
    shown = _columns(view, (screen.width - left) // LEAST_COLUMN)
    longest = max(cell_len(tokens[t]) for t in shown) + 1
    cells = max(LEAST_COLUMN, min(WIDEST_COLUMN, longest, (screen.width - left) // len(shown)))
    header = "".join(f"{_at_the_right(fitted(tokens[t], cells - 1).rstrip(), cells)}" for t in shown)
    screen.print(Text(" " * left + header, "dim"), soft_wrap=True)
    for row, shares in zip(view.rows, view.restored, strict=True):
        line = Text().append(row.ljust(left), "dim")
        for t in shown:
            share = round(float(shares[t]), 2) + 0.0  # no "-0%"
            strong = "bold" if abs(share) >= 0.5 else "dim" if abs(share) < 0.05 else ""
            line.append(f"{share:>{cells}.0%}", strong if share >= 0 else AGAINST)
        screen.print(line, soft_wrap=True)
    screen.print_text("100%: this state alone brings back the prediction of the first text.", style="dim")
    if len(shown) < len(tokens):
        left_out = "Not shown: tokens before the first difference, whose states are the same"
        narrow = "" if shown[0] + len(shown) == len(tokens) else "; and the tokens with the smallest numbers, which do not fit"
        screen.print_text(f"{left_out}{narrow}.", style="dim")


def _columns(view: "PatchingView", room: int) -> list[int]:
    """The tokens that are shown: from the first one that differs, because the states before it are the same; if there is no
    room for all, those with the largest shares."""
    pairs = zip(view.input.ids, view.other.ids, strict=True)
    first = next(t for t, (one, other) in enumerate(pairs) if one != other)
    after = sorted(range(first, len(view.input.ids)), key=lambda t: -float(np.abs(view.restored[:, t]).max()))
    return sorted(after[: max(1, room)])


def _at_the_right(name: str, cells: int) -> str:
    return " " * (cells - cell_len(name)) + name
