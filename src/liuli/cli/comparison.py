"""How a comparison is printed: answers side by side, their scores under every model (or, of one model, after every prompt), and
the divergences."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from liuli.cli.look.drawing import print_failed_checks
from liuli.cli.output import Screen
from liuli.cli.sampling import settings_line
from liuli.cli.wording import percent, token_name
from liuli.display import printable
from liuli.inside.caveats import caveat
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.generate.model import Model
    from liuli.inside.compare import CompareTrace, ModelAnswer
    from liuli.inside.scoring import AnswerScore

NARROWEST = 36  # columns of a terminal for one answer; if there are fewer, answers stand below each other
GAP = 2  # columns between the columns of a table
SPECIAL = "cyan"


def print_comparison(screen: Screen, trace: "CompareTrace", models: "Sequence[Model]") -> None:
    """Prints what each model read and answered, and how likely each finds the answers of the others."""
    for number, (model, about) in enumerate(zip(models, trace.models, strict=True), 1):
        screen.print_text(_introduced(number, model, about, trace))
    if len(models) == 1:
        answers = [asked.answers[0] for asked in trace.asked]
        _print_cells(screen, [(f"prompt {n}: ", answer, 0) for n, answer in enumerate(answers, 1)], models)
        _print_prompts(screen, answers)
    else:
        for number, asked in enumerate(trace.asked, 1):
            where = "" if asked.prompt.source == f"prompt {number}" else f", {asked.prompt.source}"
            screen.print()
            screen.rule(Text(f"prompt {number}{where}"), align="left", style="dim")
            _print_cells(screen, [(f"model {m + 1}: ", answer, m) for m, answer in enumerate(asked.answers)], models)
            scores = [answer.scores for answer in asked.answers]
            _print_scores(screen, "model", "scored by", scores, by_byte=any(trace.same))
            _print_divergence(screen, "model", scores, [answer.kl for answer in asked.answers])
    screen.print()
    print_failed_checks(screen, trace.checks)
    for key in trace.caveats:
        screen.print_text(caveat(key), style="dim")


def _introduced(number: int, model: "Model", about: dict[str, Any], trace: "CompareTrace") -> str:
    """Which model a number means, what form its prompts have, and how its tokens were chosen."""
    adapter = f" with the adapter {model.adapter}" if model.adapter else ""
    stage = f", {about['stage']}" if about["stage"] else ""
    reads = f"prompts in {about['template']}" if about["template"] else "prompts as plain text"
    sampling = replace(model.sampling, **trace.settings.sampling)
    settings = settings_line(model, sampling, trace.settings.seed, dict(trace.settings.sampling))
    return f"{number}  {model.path}{adapter}{stage}: {reads}; {settings}"


def _print_cells(screen: Screen, cells: "Sequence[tuple[str, ModelAnswer, int]]", models: "Sequence[Model]") -> None:
    """Answers next to each other, as many as there is room for."""
    count = max(1, min(len(cells), screen.width // NARROWEST))
    for start in range(0, len(cells), count):
        row = cells[start : start + count]
        table = Table.grid(padding=(0, GAP, 0, 0), expand=True)
        for _ in range(count):
            table.add_column(overflow="fold", ratio=1)
        table.add_row(*(_read(title, answer, models[m]) for title, answer, m in row))
        table.add_row(*(_answered(title, answer, m) for title, answer, m in row))
        table.add_row(*(_candidates(title, answer) for title, answer, _ in row))
        screen.print(table)


def _read(title: str, answer: "ModelAnswer", model: "Model") -> Text:
    """The text that the model really read. Special tokens have a colour; line breaks and spaces at the end are visible."""
    from liuli.tokens import TextStream

    assert model.tokenizer is not None
    stream, text = TextStream(model.tokenizer, special=True), Text()
    for token in answer.read:
        text.append(_lines(stream.push(token.id), "⏎\n"), SPECIAL if token.special else "")
    text.append(_lines(stream.finish(), "⏎\n"))
    spaces = len(text.plain) - len(text.plain.rstrip(" "))
    text.rstrip()
    text.append("·" * spaces)
    return Text.assemble((f"{title}{counted(len(answer.read), 'token')} read\n", "dim"), text, "\n")


def _answered(title: str, answer: "ModelAnswer", m: int) -> Text:
    own = answer.scores[m]
    each = "" if own.per_token is None else f", {own.per_token:.3f} per token"
    end = " and a stop token" if answer.finish_reason == "stop" else " (limit of --max-tokens reached)"
    counts = f"{counted(len(own.ids), 'token')}{end}; {own.nats:.2f} nats{each}"
    text = _lines(answer.text, "\n").strip("\n")
    return Text.assemble((f"{title}answer\n", "dim"), (text, "bold"), (f"\n{counts}\n", "dim"))


def _lines(text: str, ending: str) -> str:
    """As it is, except characters that would move a terminal's cursor."""
    return ending.join(printable(line.expandtabs(4)) for line in text.split("\n"))


def _candidates(title: str, answer: "ModelAnswer") -> Group:
    """The most likely first tokens, with an arrow at the chosen one."""
    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for candidate in answer.candidates:
        name = Text(token_name(candidate.token), SPECIAL if candidate.token.special else "")
        arrow = "←" if candidate.token.id == answer.ids[0] else ""
        table.add_row(name, percent(math.exp(candidate.logprob)), arrow)
    return Group(Text(f"{title}most likely first tokens", "dim"), table, "")


def _print_prompts(screen: Screen, answers: "Sequence[ModelAnswer]") -> None:
    """Every answer of one model after every prompt."""
    scores = [answer.after_prompts for answer in answers if answer.after_prompts is not None]
    if scores:
        screen.print_text("How likely each answer is after each prompt, as if it were the answer to it:")
        _print_scores(screen, "prompt", "after", scores, by_byte=False)
        before = [next((kl[0] for row in scores if (kl := row[p].kl)), None) for p in range(len(scores))]
        _print_divergence(screen, "prompt", scores, before)
    elif len(answers) > 1:
        from liuli.inside.compare import MOST_PROMPTS

        limit = (
            f"Only up to {MOST_PROMPTS} prompts are compared with each other, so no answer is scored after the other prompts."
        )
        screen.print_text(limit, style="dim")


def _print_scores(screen: Screen, of: str, under: str, scores: "Sequence[Sequence[AnswerScore]]", by_byte: bool) -> None:
    """Every answer under every model or after every prompt, as many columns in a table as there is room for; a byte is the
    measure if tokens differ.

    Args:
        of: what the rows and columns are: "model" or "prompt". under: what a column means, such as "scored by".
        scores: of each answer.
    """
    heading = f"nats (per {'byte' if by_byte else 'token'})"
    names = [f"answer {'to' if of == 'prompt' else 'of'} {of} {a}" for a in range(1, len(scores) + 1)]
    cells = [[_score(score, by_byte) for score in row] for row in scores]
    widest = max(len(under), *(len(cell) for row in cells for cell in row))
    count = max(1, (screen.width - max(map(len, [heading, *names]))) // (widest + GAP))
    for start in range(0, len(names), count):
        table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
        table.add_column(heading, no_wrap=True)
        for m in range(start, min(start + count, len(names))):
            table.add_column(f"{under}\n{of} {m + 1}", justify="right", no_wrap=True)
        for name, row in zip(names, cells, strict=True):
            table.add_row(name, *row[start : start + count])
        screen.print(table)
    if any(score.by == "text" for row in scores for score in row):
        again = "* The answer's text was tokenized again with the tokenizer of the scoring model."
        screen.print_text(again, style="dim")


def _score(score: "AnswerScore", by_byte: bool) -> str:
    if score.nats is None:
        return "exceeds the context"
    each = score.per_byte if by_byte else score.per_token
    mean = "" if each is None else f" ({each:.3f})"
    mark = "*" if score.by == "text" else ""
    return f"{score.nats:.2f}{mean}{mark}"


def _print_divergence(
    screen: Screen, of: str, scores: "Sequence[Sequence[AnswerScore]]", before: "Sequence[float | None]"
) -> None:
    """KL(first ‖ other) of models or prompts before the first token and along each answer, where the two have the same ids.

    Args:
        of: "model" or "prompt". scores: of each answer.
        before: the divergence of each before the first token.
    """
    for m in range(1, len(scores)):
        parts = [] if before[m] is None else [f"{before[m]:.3f} before the first token"]
        for a, row in enumerate(scores, 1):
            kl = row[m].kl
            if kl:
                along = f"along the answer {'to' if of == 'prompt' else 'of'} {of} {a}"
                parts.append(f"{sum(kl) / len(kl):.3f} per token {along}")
        if parts:
            names = f"1 ‖ {m + 1}" if of == "model" else f"{of} 1 ‖ {of} {m + 1}"
            screen.print_text(f"KL({names}), nats: {'; '.join(parts)}")
