"""The drawings of causes: influence of tokens, ablation of parts, patching of states, and one step of learning."""

import math
from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from liuli.cli.look.drawing import ACCENT, by_id, fitted, heading, passage_token_name, plain_table, print_grid
from liuli.cli.output import Screen
from liuli.cli.wording import bar, percent, token_name

if TYPE_CHECKING:
    from liuli.inside.ablation import AblationView
    from liuli.inside.contrast import Contrast
    from liuli.inside.gradient import GradientView
    from liuli.inside.influence import InfluenceView
    from liuli.inside.patching import PatchingView

BAR = 14
NAME = 16
LISTED = 8
AGAINST = "red"


def _question(contrast: "Contrast") -> str:
    names = token_name(contrast.target), token_name(contrast.other)
    return f"Why {names[0]} and not {names[1]}? The difference of their logits is {contrast.value:.2f}."


def draw_influence(screen: Screen, view: "InfluenceView") -> None:
    """Prints every token's score by every method, as bars, and how well each method did in the deletion test."""
    heading(screen, _question(view.contrast))
    largest = np.nanmax(np.abs(view.scores), 1)
    table = plain_table("token", *(cell for method in view.methods for cell in (method, "")), right=(1, 3, 5))
    for token in view.input.tokens[1:]:
        row = []
        for m in range(len(view.methods)):
            score = float(view.scores[m, token.index])
            share = abs(score) / (float(largest[m]) or 1.0)
            row += [f"{score:+.2f}", Text(bar(share, BAR), ACCENT if score >= 0 else AGAINST)]
        table.add_row(fitted(passage_token_name(token), NAME).rstrip(), *row)
    screen.print(table)
    heading(screen, "Do the scores find the tokens that matter? Tokens are removed, the highest score first")
    for method, share in zip(view.methods, view.deletion, strict=True):
        screen.print_text(f"{method}: on average {share:.0%} of the difference is left", before="  ")
    mean, deviation = view.random_deletion
    screen.print_text(f"random orders: {mean:.0%} ± {deviation:.0%} (lower is better)", before="  ")


def draw_ablation(screen: Screen, view: "AblationView") -> None:
    """Prints a grid of all heads, and the parts whose removal changes most."""
    heading(screen, _question(view.contrast))
    layers, heads = view.heads.shape
    screen.print_text("The change without each head: one row per layer, one column per head. Red: the model needs it.")
    print_grid(screen, list(map(str, range(layers))), list(map(str, range(heads))), view.heads)
    heading(screen, "The parts with the largest changes")
    parts = [(float(view.heads[layer, head]), f"layer {layer}, head {head}") for layer in range(layers) for head in range(heads)]
    for layer in range(layers):
        parts.append((float(view.attention[layer]), f"layer {layer}, all heads"))
        parts.append((float(view.feed_forward[layer]), f"layer {layer}, feed-forward"))
    parts.sort(key=lambda part: -abs(part[0]))
    table = plain_table("without", "change of the difference", "", right=(1,))
    for change, name in parts[:LISTED]:
        table.add_row(name, f"{change:+.2f}", Text(bar(abs(change) / abs(parts[0][0]), BAR), AGAINST if change < 0 else ACCENT))
    screen.print(table)


def draw_patching(screen: Screen, view: "PatchingView") -> None:
    """Prints a grid of layers and tokens, and the states that restore most."""
    names = token_name(view.contrast.target), token_name(view.contrast.other)
    heading(screen, f"{names[0]} after the first text, {names[1]} after the other")
    values = f"{view.contrast.value:+.2f} after the first text and {view.other_value:+.2f} after the other"
    screen.print_text(f"The difference of their logits is {values}.")
    tokens = [
        passage_token_name(one) if one.id == other.id else f"{passage_token_name(other)}→{passage_token_name(one)}"
        for one, other in zip(view.input.tokens, view.other.tokens, strict=True)
    ]
    cells = max(4, min(12, max(map(cell_len, tokens)) + 1))
    left = max(map(len, view.rows)) + 2
    screen.print(Text(" " * left + "".join(fitted(name, cells) for name in tokens), "dim"), soft_wrap=True)
    for row, shares in zip(view.rows, view.restored, strict=True):
        line = Text(row.ljust(left), "dim")
        for share in shares:
            strong = "bold" if abs(share) >= 0.5 else "dim" if abs(share) < 0.05 else ""
            line.append(f"{share:>{cells - 2}.0%}  ", strong if share >= 0 else AGAINST)
        screen.print(line, soft_wrap=True)
    screen.print_text("100 %: this one state alone brings back the prediction of the first text.", style="dim")


def draw_gradient(screen: Screen, view: "GradientView") -> None:
    """Prints the loss of every token before and after the step, the weights that moved most, and the predictions."""
    heading(screen, f"One step: the loss falls from {view.loss:.4f} to {view.loss_after:.4f} nats per token")
    screen.print_text(
        f"All weights together move by {view.move:.1%} of their length. The gradient promises a change of {view.expected:+.4f}; "
        f"the real change is {view.loss_after - view.loss:+.4f}."
    )
    names = by_id(view.candidates)
    table = plain_table("token", "loss", "", "after", "predicted before it", "after the step", right=(1, 3))
    longest = float(view.losses.max()) or 1.0
    for p, token in enumerate(view.input.tokens[1:]):
        loss, after = float(view.losses[p]), float(view.losses_after[p])
        best = names[int(view.top[p, 0])]
        table.add_row(
            fitted(passage_token_name(token), NAME).rstrip(),
            f"{loss:.3f}",
            Text(bar(loss / longest, BAR), ACCENT),
            f"{after:.3f}",
            f"{fitted(token_name(best), 10)} {percent(math.exp(view.top_logprobs[p, 0]))}",
            percent(math.exp(view.top_logprobs_after[p, 0])),
        )
    screen.print(table)
    heading(screen, "The weights that move most")
    moved = plain_table("weights", "shape", "share of the step", "", "moved by", right=(2, 4))
    for each in view.weights[:LISTED]:
        moved.add_row(
            each.name,
            " × ".join(map(str, each.shape)),
            f"{each.share:.1%}",
            Text(bar(each.share / view.weights[0].share, BAR), ACCENT),
            f"{each.change / (each.size or 1.0):.3%}",
        )
    screen.print(moved)
