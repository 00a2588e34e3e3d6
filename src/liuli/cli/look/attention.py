"""The drawing of attention: the habit of every head, then what the tokens read in one layer."""

from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from liuli.cli.look.drawing import fitted, heading, passage_token_name, shade
from liuli.cli.look.table import ACCENT, print_items
from liuli.cli.output import Screen
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.inside.attention import AttentionView

HABITS = (  # letter, field, meaning
    ("F", "first", "the first token"),
    ("P", "previous", "the previous token"),
    ("S", "itself", "the token itself"),
    ("I", "induction", "what followed it before"),
)
MEANING = max(len(meaning) for _, _, meaning in HABITS)
HABIT = 0.5  # of a head's weight
STRONGEST = 4  # heads of a habit that are listed
READS = 3  # tokens that are listed for each token
LEAST_READ = 0.005  # a smaller weight is not listed
READ_CELLS = 40  # that the list of reads needs next to the shaded cells
GRID_TOKENS = 40
NAME = 16  # cells of a token's name, at most


def draw_attention(screen: Screen, view: "AttentionView", head: int | None) -> None:
    """Prints a letter for every head's habit, the strongest heads of every habit, and the weights of one head, or of the mean
    over the layer's heads."""
    heading(screen, "What each head reads most (row: layer; column: head)")
    _print_habits(screen, view)
    heads = view.entropy.shape[1]
    for letter, field, meaning in HABITS:
        values = getattr(view, field)
        if not np.isnan(values).all():
            order = np.argsort(-values, axis=None)[:STRONGEST]  # NaN is last
            strongest = [f"{at // heads}.{at % heads} {values.flat[at]:.0%}" for at in order if not np.isnan(values.flat[at])]
            print_items(screen, strongest, before=f"{letter}  {meaning:<{MEANING}}  ")
    screen.print_text(
        f"A letter: this is at least {HABIT:.0%} of the head's weight. 5.3 is layer 5, head 3. I is measured on random tokens "
        "that are read twice.",
        style="dim",
    )

    chosen = "the mean of its heads" if head is None else f"head {head}"
    window = "" if view.window is None else f" (it sees the last {view.window} tokens)"
    heading(screen, f"Layer {view.layer}, {chosen}: from which tokens each token reads{window}")
    weights_TT = view.weights.mean(0) if head is None else view.weights[head]
    sizes_TT = (view.weights * view.value_sizes[:, None]).mean(0) if head is None else weights_TT * view.value_sizes[head]
    _print_reads(screen, view, weights_TT, sizes_TT, "weight × size of its value" + (", on average" if head is None else ""))


def _print_habits(screen: Screen, view: "AttentionView") -> None:
    layers, heads = view.entropy.shape
    screen.print(Text("head ", "dim").append("".join(str(head % 10) for head in range(heads)), "dim"), soft_wrap=True)
    for layer in range(layers):
        line = Text().append(f"{layer:>4} ", "dim")
        for head in range(heads):
            shares = [(float(getattr(view, field)[layer, head]), letter) for letter, field, _ in HABITS]
            share, letter = max((pair for pair in shares if not np.isnan(pair[0])), default=(0.0, "·"))
            style = "" if letter == "F" or share < HABIT else f"bold {ACCENT}"
            line.append(letter if share >= HABIT else "·", style)
        if layer == view.layer:
            line.append("  ← shown below")
        screen.print(line, soft_wrap=True)


def _print_reads(screen: Screen, view: "AttentionView", weights_TT: np.ndarray, sizes_TT: np.ndarray, size: str) -> None:
    """A row per token: a shaded cell for every token up to it, and the strongest reads by name.

    Args:
        sizes_TT: how large each read is.
        size: the explanation of that size that is printed.
    """
    names = [passage_token_name(token) for token in view.input.tokens]
    first = max(0, len(names) - GRID_TOKENS)
    left = min(NAME, max(map(cell_len, names)))
    cells = 2 if left + 2 * (len(names) - first) + READ_CELLS <= screen.width else 1
    drawn = left + cells * (len(names) - first) + READ_CELLS <= screen.width
    others = False
    for t in range(max(first, 1), len(names)):
        best = [at for at in np.argsort(-weights_TT[t, : t + 1])[:READS] if weights_TT[t, at] >= LEAST_READ]
        most = int(np.argmax(sizes_TT[t, : t + 1]))
        reads = [f"{names[at]} {weights_TT[t, at]:.0%}{'*' if at == most else ''}" for at in best]
        if most not in best:
            reads.append(f"{names[most]} {weights_TT[t, most]:.0%}*")
        others = others or most != best[0]
        grid = "".join(shade(float(weight)) * cells for weight in weights_TT[t, first:]) if drawn else ""
        print_items(screen, reads, before=f"{fitted(names[t], left)}  {grid}  " if drawn else f"{fitted(names[t], left)}  ")
    if first:
        screen.print_text(f"The last {GRID_TOKENS} of {counted(len(names), 'token')} are shown.", style="dim")
    notes = []
    if drawn:
        notes.append("Cells: the weights on the tokens in order, from ░ 12% ▒ 37% ▓ 62% █ 87% on.")
    if others:
        notes.append(f"*: the largest read ({size}).")
    if notes:
        screen.print_text(" ".join(notes), style="dim")
