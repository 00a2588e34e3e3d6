"""The steps of a completion as small tables: candidates, what removed some of them, the random number, the choice.

Each candidate is shown with its interval on the line from 0 to 1, so that a reader can check the choice: the number that was
drawn lies in the interval of the chosen token.
"""

import math
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from liuli.cli.wording import bar, percent, token_name
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.cli.output import Screen
    from liuli.generate.record import Candidate, StepRecord

LONGEST_BAR, SHORTEST_BAR = 60, 4  # cells of a probability of 1
DIGITS, MOST_DIGITS = 4, 7  # of a bound of an interval
MARGIN = 2  # columns before the candidates
NAME = 13, 24  # columns of a token's name, at least and at most: <|endoftext|> has 13
ARROW = "  ←"  # at the chosen token
EXPLAINED = (
    "Each token that was kept has an interval on the line from 0 to 1, in the order of the token ids. The random number "
    "lies in the interval of the chosen token."
)


def explain_steps(screen: "Screen") -> None:
    """Says what the intervals of the steps mean, once before the first of them."""
    screen.print_text(EXPLAINED, style="dim")


def print_step(screen: "Screen", record: "StepRecord", greedy: bool) -> None:
    """For a record with scores."""
    assert record.token is not None and record.scores is not None
    screen.rule(Text(f"step {record.index + 1}, position {record.position}"), align="left", style="dim")
    drawn = not greedy and not record.forced
    digits = _digits(record) if drawn else DIGITS
    if record.scores.candidates:
        screen.print(_candidates(record, drawn, digits, screen.width))
    for rule, kept, mass in record.scores.cuts:
        said = f"kept {counted(kept, 'token')} and removed {percent(mass)} of the probability that was left"
        screen.print_text(f"  {rule.replace('_', '-')} {said}", style="dim")
    how = "forced" if record.forced else "greedy"
    if drawn:
        how = f"random number {record.uniform:.{digits}f} is in {_interval(record.scores.interval, digits)}"
    choice = f"{token_name(record.token)} (id {record.token.id}), model {percent(math.exp(record.scores.logprob))}"
    screen.print_text(f"  {how} → {choice}")


def _digits(record: "StepRecord") -> int:
    """As few digits as show that the drawn number lies in the chosen interval; more for a very short interval."""
    assert record.scores is not None and record.uniform is not None
    lower, upper = record.scores.interval
    for digits in range(DIGITS, MOST_DIGITS):
        if round(lower, digits) <= round(record.uniform, digits) < round(upper, digits):
            return digits
    return MOST_DIGITS


def _candidates(record: "StepRecord", drawn: bool, digits: int, width: int) -> Table:
    """A row per candidate: a bar for the model's own probability, and what the sampler made of it."""
    assert record.token is not None and record.scores is not None
    candidates = record.scores.candidates
    fates = [_fate(candidate, drawn, digits) for candidate in candidates]
    # The margin, two columns of up to 7 cells, the widest last column with its arrow, and the spaces between columns.
    others = MARGIN + 7 + 7 + max(map(len, fates)) + len(ARROW) + 4
    # The same in all steps, so that bars can be compared. Only where a name is longer are the bars shorter.
    usual = max(NAME[0], min(NAME[1], width // 5))
    needed = min(NAME[1], max(cell_len(token_name(candidate.token)) for candidate in candidates))
    name_width = max(usual, min(needed, width - others - SHORTEST_BAR))
    longest = max(SHORTEST_BAR, min(LONGEST_BAR, width - others - name_width))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", width=MARGIN - 1)
    table.add_column("", width=name_width, overflow="fold")
    table.add_column("", width=longest)
    table.add_column("model", justify="right", no_wrap=True)
    table.add_column("sampler", justify="right", no_wrap=True)
    table.add_column("interval" if drawn else "", no_wrap=True)
    for candidate, fate in zip(candidates, fates, strict=True):
        probability, sampled = math.exp(candidate.logprob), math.exp(candidate.sampled_logprob)
        arrow = ARROW if candidate.token.id == record.token.id else ""
        table.add_row(
            "",
            Text(token_name(candidate.token)),
            Text(bar(probability, longest)),
            percent(probability),
            percent(sampled) if sampled else "",
            Text.assemble((fate, "" if candidate.interval else "dim"), (arrow, "bold")),
        )
    return table


def _fate(candidate: "Candidate", drawn: bool, digits: int) -> str:
    """The interval of a candidate, or the rule that removed it."""
    if candidate.cut:
        return f"removed by {candidate.cut.replace('_', '-')}"
    return _interval(candidate.interval, digits) if drawn and candidate.interval else ""


def _interval(bounds: tuple[float, float], digits: int) -> str:
    return f"{bounds[0]:.{digits}f}–{bounds[1]:.{digits}f}"
