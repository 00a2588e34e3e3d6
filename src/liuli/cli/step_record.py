"""One step of a completion as a small picture: candidates, what removed some of them, the random number, the choice."""

import math
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from liuli.cli.wording import counted, percent, token_name

if TYPE_CHECKING:
    from liuli.cli.output import Screen
    from liuli.generate.record import Candidate, StepRecord

BAR = 24  # cells


def print_step(screen: "Screen", record: "StepRecord", greedy: bool) -> None:
    """For a record with scores."""
    assert record.token is not None and record.scores is not None
    screen.rule(Text(f"step {record.index + 1}, position {record.position}"), align="left", style="dim")
    for candidate in record.scores.candidates:
        screen.print(_candidate_line(candidate, candidate.token.id == record.token.id), soft_wrap=True)
    for rule, kept, mass in record.scores.cuts:
        said = f"kept {counted(kept, 'token')} and removed {percent(mass)} of the probability that was left"
        screen.print(f"  {rule.replace('_', '-')} {said}", style="dim")
    how = "forced" if record.forced else "greedy" if greedy else f"random number {record.uniform:.4f}"
    choice = f"{token_name(record.token)} (id {record.token.id}), {percent(math.exp(record.scores.logprob))} before sampling"
    screen.print(Text(f"  {how} → {choice}"), soft_wrap=True)


def _candidate_line(candidate: "Candidate", chosen: bool) -> Text:
    """A bar for the model's own probability, and what the sampler made of it."""
    shown, eighths = token_name(candidate.token), round(math.exp(candidate.logprob) * BAR * 8)
    bar = "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]
    line = Text(f"  {shown}{' ' * max(1, 16 - cell_len(shown))}{bar:<{BAR}} {percent(math.exp(candidate.logprob)):>8}")
    if candidate.cut:
        line.append(f"   removed by {candidate.cut.replace('_', '-')}", style="dim")
    elif candidate.sampled_logprob > -math.inf:
        line.append(f"   {percent(math.exp(candidate.sampled_logprob))} after the sampler", style="dim")
    if chosen:
        line.append("  ←", style="bold")
    return line
