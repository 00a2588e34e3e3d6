"""The drawings of causes: influence of tokens, ablation of parts, and patching of states."""

from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from liuli.cli.look.drawing import AGAINST, CELLS, fitted, heading, passage_token_name, print_grid, print_words
from liuli.cli.look.table import ACCENT, Bar, Cell, Column, print_table
from liuli.cli.output import Screen
from liuli.cli.wording import token_name

if TYPE_CHECKING:
    from liuli.inside.ablation import AblatedPart, AblationView
    from liuli.inside.contrast import Contrast
    from liuli.inside.influence import InfluenceView
    from liuli.inside.patching import PatchingView

NAME = 16  # cells of a token's name, at most
NO_SCORE = "no score"
LAYER_COLUMNS = "  all heads  feed-forward"
LEAST_COLUMN, WIDEST_COLUMN = 6, 20  # cells of a token in the grid of patching


def _print_question(screen: Screen, contrast: "Contrast") -> None:
    names = token_name(contrast.target), token_name(contrast.other)
    heading(screen, f"Why {names[0]} and not {names[1]}? The difference of their logits is {contrast.value:.2f}")
    print_words(screen, contrast.words)


def _bar(value: float, largest: float) -> Bar:
    return Bar(abs(value) / (largest or 1.0), f"{value:+.2f}", ACCENT if value >= 0 else AGAINST)


def draw_influence(screen: Screen, view: "InfluenceView") -> None:
    """Prints every token's score by every method, as bars, and how well each method did in the deletion test."""
    _print_question(screen, view.contrast)
    largest = np.nanmax(np.abs(view.scores), 1)
    rows: list[list[Cell]] = []
    for token in view.input.tokens:
        scores = zip(view.scores[:, token.index], largest, strict=True)
        cells: list[Cell] = [NO_SCORE if np.isnan(score) else _bar(float(score), float(most)) for score, most in scores]
        rows.append([fitted(passage_token_name(token), NAME).rstrip(), *cells])
    print_table(screen, [Column("token"), *(Column(method) for method in view.methods)], rows)
    target, other = token_name(view.contrast.target), token_name(view.contrast.other)
    screen.print_text(f"In logits. Plus: the token speaks for {target} relative to {other}. Minus: against it.", style="dim")
    screen.print_text(f"{NO_SCORE.capitalize()}: {_why_no_score(view)}.", style="dim")
    neutral = "If every token but the first is replaced by the neutral vector, which is that of a comma, the difference is"
    small = " That is nearly the same, so the test below says little." if view.small else ""
    screen.print_text(f"{neutral} {view.neutral:.2f}.{small}", style="dim")
    heading(screen, "A test of the scores: the tokens are replaced one after the other")
    way = f"from {view.contrast.value:.2f} to {view.neutral:.2f}"
    screen.print_text(f"First those whose scores say that they bring the difference {way} most.", style="dim")
    left: list[list[Cell]] = [[method, f"{share:.0%}"] for method, share in zip(view.methods, view.deletion, strict=True)]
    mean, deviation = view.random_deletion
    left.append(["random orders", f"{mean:.0%} ± {deviation:.0%}"])
    print_table(screen, [Column("order by"), Column("change that is left on average")], left)
    screen.print_text(
        "The less is left, the better. A method that is not below the random orders says nothing here.", style="dim"
    )


def _why_no_score(view: "InfluenceView") -> str:
    first = "the first token always keeps its vector, because heads that have nothing to read rest on it"
    commas = "; a comma has the neutral vector already"
    return first + commas if np.isnan(view.scores[0, 1:]).any() else first


def draw_ablation(screen: Screen, view: "AblationView") -> None:
    """Prints a grid of all heads, and the parts whose removal changes most."""
    _print_question(screen, view.contrast)
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
    most = abs(view.strongest[0].change)
    rows = [[_part_name(part), _bar(part.change, most)] for part in view.strongest]
    print_table(screen, [Column("without"), Column("change of the difference, in logits")], rows)


def _part_name(part: "AblatedPart") -> str:
    names = {"head": f"head {part.head}", "attention": "all heads", "feed_forward": "feed-forward"}
    return f"layer {part.layer}, {names[part.kind]}"


def draw_patching(screen: Screen, view: "PatchingView") -> None:
    """Prints a grid of layers and tokens: how much one state of the first text restores in the other."""
    names = token_name(view.contrast.target), token_name(view.contrast.other)
    heading(screen, f"{names[0]} after the first text, {names[1]} after the other")
    values = f"{view.contrast.value:+.2f} after the first text and {view.other_value:+.2f} after the other"
    print_words(screen, view.contrast.words)
    screen.print_text(f"The difference of their logits is {values}.")
    if view.small:
        screen.print_text("These are nearly the same, so the shares can be very large and say little.")
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
