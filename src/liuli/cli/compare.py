"""`liuli compare`: the same prompts and the same seed; what each model read, what it answered, how likely each finds it."""

import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from liuli.cli.options import ADAPTER, MODEL, Device, Json, Threads, check_compute, check_model
from liuli.cli.output import Screen, note_skipped, print_json
from liuli.cli.sampling import (
    MaxTokens,
    Seed,
    named_as_typed,
    only_given,
    set_threads,
    settings_line,
    with_sampling_options,
)
from liuli.cli.wording import percent, token_name
from liuli.cli.work_progress import WorkProgress, work_progress
from liuli.display import printable
from liuli.errors import LiuliError
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.generate.model import Model
    from liuli.generate.reading import Prompt
    from liuli.inside.compare import CompareTrace, ModelAnswer, PromptAnswers
    from liuli.inside.scoring import AnswerScore

NARROWEST = 36  # columns of a terminal for one answer; where there are fewer, answers stand below each other
GAP = 2  # columns between the columns of a table
SPECIAL = "cyan"
CAVEATS = {  # docs/compare.md has them in Chinese too
    "prob.stage": "Probabilities are the models' own (temperature 1, no token removed), not those after the sampler.",
    "cmp.same_ids": "The models did not all read the same token ids, so the numbers depend on the prompt format as well as on "
    "the model.",
}


@with_sampling_options
def compare(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help=f"The models: {MODEL}; or {ADAPTER}, if it names its base model.",
            show_default=False,
        ),
    ],
    prompt: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Give this prompt to all models. May be repeated.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read more prompts from this file, one per line. A .jsonl or .json file holds dialogues; each is used up to "
            "its last user message.",
        ),
    ] = None,
    max_tokens: MaxTokens = 64,
    seed: Seed = None,
    device: Device = "cpu",
    threads: Threads = None,
    json: Json = False,
    **sampling: float | None,
) -> None:
    """Show the answers of several models to the same prompts side by side, or of one model to several prompts.

    A base model gets the plain text; an assistant gets it in its chat template.
    """
    for each in model:
        check_model(each)
    _check_prompts(prompt or [], file)
    check_compute(device, "fp32", threads)
    given = only_given(**sampling)
    with work_progress("starting") as work:
        from liuli.inside.compare import CompareSettings
        from liuli.inside.compare import compare as side_by_side

        try:
            settings = CompareSettings(secrets.randbits(32) if seed is None else seed, max_tokens, given)
        except LiuliError as error:
            raise named_as_typed(error) from None
        prompts = _prompts(work, prompt or [], file)
        models = [_open(each, device) for each in work.counting(model, "loading models", len(model))]
        set_threads(models, threads)
        try:
            trace = side_by_side(models, prompts, settings, work.show)
        except LiuliError as error:
            raise named_as_typed(error) from None
    if json:
        print_json(trace.to_json())
    else:
        _print(Screen(), trace, models)


def _check_prompts(texts: Sequence[str], file: Path | None) -> None:
    """Checks what can be checked before PyTorch is imported. Raises LiuliError: there is no prompt, or no such file."""
    from liuli.data.dialogues.dialogues import DIALOGUES
    from liuli.data.records.find_files import check_names
    from liuli.data.records.small_file import check_small_file

    if file is None and not texts:
        raise LiuliError("there is no prompt: give --prompt TEXT, or --file FILE")
    if file is not None and _holds_dialogues(file):
        check_names([str(file)], DIALOGUES)
    elif file is not None:
        check_small_file(file)


def _holds_dialogues(file: Path) -> bool:
    """By its name."""
    return re.search(r"\.jsonl?(\.gz|\.zst)?$", file.name) is not None


def _prompts(work: WorkProgress, texts: Sequence[str], file: Path | None) -> "list[Prompt]":
    from liuli.generate.reading import Prompt

    found = [Prompt.of_text(text, f"prompt {number}") for number, text in enumerate(texts, 1)]
    if file is not None:
        found += _of_dialogues(work, file) if _holds_dialogues(file) else _of_lines(file)
    return found


def _of_lines(file: Path) -> "list[Prompt]":
    from liuli.data.records.small_file import read_small_file
    from liuli.generate.reading import Prompt

    lines = read_small_file(file).split("\n")
    found = [Prompt.of_text(line.rstrip("\r"), f"{file}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise LiuliError(f"{file} contains no prompt: write one prompt per line")
    return found


def _of_dialogues(work: WorkProgress, file: Path) -> "list[Prompt]":
    """Each up to the user's last message."""
    from liuli.data.dialogues.dialogues import Dialogues
    from liuli.generate.reading import Prompt

    dialogues, found = Dialogues(file, answered=False, watch=work.reading), []
    for each in dialogues:
        end = max((i for i, message in enumerate(each.messages, 1) if message["role"] == "user"), default=0)
        if not end:
            raise LiuliError(f"{each.source}: the dialogue has no user message: add one, or remove the dialogue")
        found.append(Prompt(each.source, each.messages[:end], each.tools))
    note_skipped(dialogues.skipped)
    return found


def _open(name: str, device: str) -> "Model":
    """A model, or an adapter on top of the base model that it names."""
    from liuli.files import read_json
    from liuli.generate.model import load
    from liuli.hub import model_in

    folder = model_in(Path(name))
    config = folder / "adapter_config.json"
    if not config.is_file() or (folder / "config.json").is_file():
        return load(name, device)
    base = read_json(config).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise LiuliError(
            f'{config}: "base_model_name_or_path" is missing: add it, or merge the adapter into its base model with liuli merge'
        )
    return load(base, device, adapter=folder)


def _print(screen: Screen, trace: "CompareTrace", models: "Sequence[Model]") -> None:
    for number, (model, about) in enumerate(zip(models, trace.models, strict=True), 1):
        screen.print_text(_introduced(number, model, about, trace))
    if len(models) == 1:
        cells = [(f"prompt {n}: ", asked.answers[0], 0) for n, asked in enumerate(trace.asked, 1)]
        _print_cells(screen, cells, models)
    else:
        for number, asked in enumerate(trace.asked, 1):
            where = "" if asked.prompt.source == f"prompt {number}" else f", {asked.prompt.source}"
            screen.print()
            screen.rule(Text(f"prompt {number}{where}"), align="left", style="dim")
            _print_cells(screen, [(f"model {m + 1}: ", answer, m) for m, answer in enumerate(asked.answers)], models)
            _print_scores(screen, asked, by_byte=any(trace.same))
            _print_divergence(screen, asked)
    screen.print()
    for check in trace.checks:
        if not check.ok:
            limits = f"{check.meaning} is {check.value:g} {check.unit} (limit {check.limit:g}). The numbers may be wrong"
            screen.print_text(f"self-check failed: {limits}: please report this", style="red")
    for caveat in trace.caveats:
        screen.print_text(CAVEATS[caveat], style="dim")


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


def _print_scores(screen: Screen, asked: "PromptAnswers", by_byte: bool) -> None:
    """Every answer under every model, as many models in a table as there is room for; a byte is the measure if tokens
    differ."""
    heading = f"nats (per {'byte' if by_byte else 'token'})"
    names = [f"answer of model {a}" for a in range(1, len(asked.answers) + 1)]
    cells = [[_score(score, by_byte) for score in answer.scores] for answer in asked.answers]
    widest = max(len("scored by"), *(len(cell) for row in cells for cell in row))
    count = max(1, (screen.width - max(map(len, [heading, *names]))) // (widest + GAP))
    for start in range(0, len(names), count):
        table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
        table.add_column(heading, no_wrap=True)
        for m in range(start, min(start + count, len(names))):
            table.add_column(f"scored by\nmodel {m + 1}", justify="right", no_wrap=True)
        for name, row in zip(names, cells, strict=True):
            table.add_row(name, *row[start : start + count])
        screen.print(table)
    if any(score.by == "text" for answer in asked.answers for score in answer.scores):
        again = "* The answer's text was tokenized again with the tokenizer of the scoring model."
        screen.print_text(again, style="dim")


def _score(score: "AnswerScore", by_byte: bool) -> str:
    if score.nats is None:
        return "exceeds the context"
    each = score.per_byte if by_byte else score.per_token
    mean = "" if each is None else f" ({each:.3f})"
    mark = "*" if score.by == "text" else ""
    return f"{score.nats:.2f}{mean}{mark}"


def _print_divergence(screen: Screen, asked: "PromptAnswers") -> None:
    """KL(first ‖ other) before the first token and along each answer, where the two have the same ids."""
    for m, own in enumerate(asked.answers):
        if m == 0 or own.kl is None:
            continue
        parts = [f"{own.kl:.3f} before the first token"]
        for a, answer in enumerate(asked.answers, 1):
            kl = answer.scores[m].kl
            if kl:
                parts.append(f"{sum(kl) / len(kl):.3f} per token along the answer of model {a}")
        screen.print_text(f"KL(1 ‖ {m + 1}), nats: {'; '.join(parts)}")
