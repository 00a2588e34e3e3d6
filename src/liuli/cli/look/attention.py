"""The drawing of attention: the habit of every head, then what the tokens read in one layer."""

from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from liuli.cli.look.drawing import ACCENT, heading, passage_token_name, print_grid
from liuli.cli.output import Screen
from liuli.cli.wording import percent
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.inside.attention import AttentionView

HABITS = (  # letter, field, meaning
    ("F", "first", "first token"),
    ("P", "previous", "previous token"),
    ("S", "itself", "the token itself"),
    ("I", "induction", "the token after an earlier occurrence (measured on random tokens that are repeated)"),
)
HABIT = 0.5  # of a head's weight
STRONGEST = 5  # heads of a habit that are listed
READS = 3  # tokens that are listed for each token
GRID_TOKENS = 40


def draw_attention(screen: Screen, view: "AttentionView", head: int | None) -> None:
    """Prints a letter for every head's habit, the strongest heads of every habit, and the weights of one head, or of the mean
    over the layer's heads."""
    layers, heads = view.entropy.shape
    if head is not None and not 0 <= head < heads:
        raise LiuliError(f"there is no head {head}: a layer has {heads}, 0 to {heads - 1}")
    heading(screen, "What each head reads most: one row per layer, one letter per head")
    _print_habits(screen, view)
    for letter, field, meaning in HABITS:
        values = getattr(view, field)
        if np.isnan(values).all():
            continue
        order = np.argsort(-values, axis=None)[:STRONGEST]
        strongest = [f"{at // heads}.{at % heads} {values.flat[at]:.0%}" for at in order]
        screen.print_text(f"{letter}  {meaning}: {', '.join(strongest)}")
    screen.print_text("·  none of these has half of its weight. 5.3 means layer 5, head 3.", style="dim")

    chosen = "the mean of its heads" if head is None else f"head {head}"
    window = "" if view.window is None else f", which sees the last {view.window} tokens"
    heading(screen, f"Layer {view.layer}, {chosen}: what each token reads{window}")
    weights_TT = view.weights.mean(0) if head is None else view.weights[head]
    added_TT = (view.weights * view.value_sizes[:, None]).mean(0) if head is None else weights_TT * view.value_sizes[head]
    _print_reads(screen, view, weights_TT, added_TT)


def _print_habits(screen: Screen, view: "AttentionView") -> None:
    layers, heads = view.entropy.shape
    for layer in range(layers):
        line = Text(f"{layer:>3}  ", "dim")
        for head in range(heads):
            shares = [(float(getattr(view, field)[layer, head]), letter) for letter, field, _ in HABITS]
            share, letter = max((pair for pair in shares if not np.isnan(pair[0])), default=(0.0, "·"))
            line.append(letter if share >= HABIT else "·", "" if letter == "F" or share < HABIT else f"bold {ACCENT}")
        if layer == view.layer:
            line.append("  ←", "bold")
        screen.print(line, soft_wrap=True)


def _print_reads(screen: Screen, view: "AttentionView", weights_TT: np.ndarray, added_TT: np.ndarray) -> None:
    """A row for each token: a shaded cell for every token that it can read, and the strongest reads by name."""
    tokens = view.input.tokens[-GRID_TOKENS:]
    first = len(view.input.tokens) - len(tokens)
    names = [passage_token_name(token) for token in view.input.tokens]
    print_grid(screen, names[first:], names[first:], weights_TT[first:, first:], largest=1.0)
    if first:
        screen.print_text(f"Only the last {len(tokens)} of {len(names)} tokens are shown.", style="dim")
    screen.print()
    for t, token in enumerate(tokens, first):
        if t == 0:
            continue
        best = np.argsort(-weights_TT[t, : t + 1])[:READS]
        most = int(np.argmax(added_TT[t, : t + 1]))
        reads = ", ".join(f"{names[at]} {percent(float(weights_TT[t, at]))}" for at in best)
        screen.print_text(f"{reads}; adds most from {names[most]}", before=f"{passage_token_name(token)}  reads  ")
