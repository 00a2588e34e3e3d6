"""The drawing of the lens: what every layer predicts, at the last token and at all of them."""

import math
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from liuli.cli.look.drawing import ACCENT, by_id, fitted, heading, passage_token_name, plain_table
from liuli.cli.output import Screen
from liuli.cli.wording import bar, percent, token_name

if TYPE_CHECKING:
    from liuli.inside.lens import LensView

BAR = 16
LIKELY = 0.5  # a prediction that is at least as probable is shown in bold,
UNLIKELY = 0.1  # and one below this is dimmed
MOST_CELLS, FEWEST_CELLS = 12, 5  # of a token's name in the grid


def draw_lens(screen: Screen, view: "LensView") -> None:
    """Prints the predictions after the last position, then the first prediction of every layer after every position."""
    last = view.input.tokens[view.positions[-1]]
    heading(screen, f"What each layer predicts after {passage_token_name(last)}")
    _print_last(screen, view)
    for k, token in enumerate(view.tracked):
        row = int(view.leads_from[k, -1])
        where = f"from layer {view.rows[row]} on" if row > 0 else "from the embedding on" if row == 0 else "not at the end"
        screen.print_text(f"{token_name(token)} is the most likely token {where}.")
    if len(view.positions) > 1:
        heading(screen, "The most likely next token after every token, by layer")
        _print_grid(screen, view)


def _print_last(screen: Screen, view: "LensView") -> None:
    names = by_id(view.candidates)
    ranks = [f"rank of {fitted(token_name(token), 12).rstrip()}" for token in view.tracked]
    table = plain_table("layer", "predicts", "", "", "nats to the end", *ranks, right=(2, 4, *range(5, 5 + len(ranks))))
    for r, row in enumerate(view.rows):
        probability = math.exp(view.top_logprobs[-1, r, 0])
        predicted = token_name(names[int(view.top[-1, r, 0])])
        table.add_row(
            f"{row} (model)" if r == len(view.rows) - 1 else row,
            Text(fitted(predicted, min(18, max(8, cell_len(predicted)))), _style(probability)),
            percent(probability),
            Text(bar(probability, BAR), ACCENT),
            f"{view.divergence[-1, r]:.2f}",
            *(f"{rank + 1:,}" for rank in view.ranks[-1, r]),
        )
    screen.print(table)


def _print_grid(screen: Screen, view: "LensView") -> None:
    names = by_id(view.candidates)
    left = max(map(len, view.rows)) + 2
    cells = max(FEWEST_CELLS, min(MOST_CELLS, (screen.width - left) // len(view.positions) - 1))
    count = max(1, (screen.width - left) // (cells + 1))
    shown = range(max(0, len(view.positions) - count), len(view.positions))
    header = Text("after".ljust(left), "dim")
    for p in shown:
        header.append(f"{fitted(passage_token_name(view.input.tokens[view.positions[p]]), cells)} ", "dim")
    screen.print(header, soft_wrap=True)
    for r, row in enumerate(view.rows):
        line = Text(row.ljust(left), "dim")
        for p in shown:
            name = token_name(names[int(view.top[p, r, 0])])
            line.append(fitted(name, cells), _style(math.exp(view.top_logprobs[p, r, 0])))
            line.append(" ")
        screen.print(line, soft_wrap=True)
    if shown.start:
        screen.print_text(f"The first {shown.start} of {len(view.positions)} positions do not fit.", style="dim")
    screen.print_text(f"Bold: a probability of {LIKELY:.0%} or more. Dim: below {UNLIKELY:.0%}.", style="dim")


def _style(probability: float) -> str:
    return "bold" if probability >= LIKELY else "dim" if probability < UNLIKELY else ""
