"""The drawing of the lens: what every layer predicts, at the last token and at all of them."""

import math
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from liuli.cli.look.drawing import by_id, fitted, heading, passage_token_name, print_words
from liuli.cli.look.table import Bar, Column, print_table
from liuli.cli.output import Screen
from liuli.cli.wording import percent, token_name

if TYPE_CHECKING:
    from liuli.inside.lens import LensView

NAME = 18  # cells of a predicted token's name, at most
LIKELY = 0.5  # a prediction that is at least as probable is shown in bold,
UNLIKELY = 0.1  # and one below this is dimmed
MOST_CELLS, FEWEST_CELLS = 12, 6  # of a token's name in the grid


def draw_lens(screen: Screen, view: "LensView") -> None:
    """Prints the predictions after the last position, then the first prediction of every layer after every position."""
    last = view.input.tokens[view.positions[-1]]
    heading(screen, f"What each layer predicts after {passage_token_name(last)}")
    print_words(screen, view.words)
    _print_last(screen, view)
    for k, token in enumerate(view.tracked):
        row = int(view.leads_from[k, -1])
        if row < 0:
            screen.print_text(
                f"The model itself does not predict {token_name(token)}: its rank is {view.ranks[-1, -1, k] + 1:,}."
            )
        else:
            since = f"layer {view.rows[row]}" if row else "the embedding"
            screen.print_text(f"{token_name(token)} is the most likely token from {since} on.")
    if len(view.positions) > 1:
        heading(screen, "The most likely next token after every token, by layer")
        _print_grid(screen, view)


def _print_last(screen: Screen, view: "LensView") -> None:
    names = by_id(view.candidates)
    named = [f"rank of {fitted(token_name(token), 12).rstrip()}" for token in view.tracked]
    # The first tracked token is the model's own prediction: if there are others, its rank is left out before theirs.
    ranks = [Column(name, right=True, spare=2 if k == 0 < len(named) - 1 else 0) for k, name in enumerate(named)]
    columns = [Column("layer"), Column("predicts"), Column("probability"), Column("KL, nats", right=True, spare=1), *ranks]
    rows = []
    for r, row in enumerate(view.rows):
        probability = math.exp(view.top_logprobs[-1, r, 0])
        predicted = fitted(token_name(names[int(view.top[-1, r, 0])]), NAME).rstrip()
        rows.append(
            [
                f"{row} (model)" if r == len(view.rows) - 1 else row,
                Text(predicted, _style(probability)),
                Bar(probability, percent(probability)),
                f"{view.divergence[-1, r]:.2f}",
                *(f"{rank + 1:,}" for rank in view.ranks[-1, r]),
            ]
        )
    if "KL, nats" not in print_table(screen, columns, rows):
        screen.print_text("KL: how far from the model's own distribution. Rank 1: the most likely token.", style="dim")


def _print_grid(screen: Screen, view: "LensView") -> None:
    names = by_id(view.candidates)
    after = [passage_token_name(view.input.tokens[position]) for position in view.positions]
    left = max(map(len, view.rows)) + 2
    fewest = max(FEWEST_CELLS, *(cell_len(name) for name in after if name.endswith(")"))) if _has_parts(view) else FEWEST_CELLS
    cells = max(fewest, min(MOST_CELLS, (screen.width - left) // len(view.positions) - 1))
    count = max(1, (screen.width - left) // (cells + 1))
    shown = range(max(0, len(view.positions) - count), len(view.positions))
    header = Text("after".ljust(left), "dim")
    for p in shown:
        header.append(f"{fitted(after[p], cells)} ", "dim")
    screen.print(header, soft_wrap=True)
    for r, row in enumerate(view.rows):
        line = Text().append(row.ljust(left), "dim")
        for p in shown:
            name = token_name(names[int(view.top[p, r, 0])])
            line.append(fitted(name, cells), _style(math.exp(view.top_logprobs[p, r, 0])))
            line.append(" ")
        screen.print(line, soft_wrap=True)
    if shown.start:
        screen.print_text(f"The last {len(shown)} of {len(view.positions)} tokens are shown.", style="dim")
    if screen.color_system is not None:
        screen.print_text(f"Bold: a probability of {LIKELY:.0%} or more. Dim: below {UNLIKELY:.0%}.", style="dim")


def _has_parts(view: "LensView") -> bool:
    """Whether a token is a part of a character; its name must not be shortened."""
    return any(view.input.tokens[position].part[1] > 1 for position in view.positions)


def _style(probability: float) -> str:
    return "bold" if probability >= LIKELY else "dim" if probability < UNLIKELY else ""
