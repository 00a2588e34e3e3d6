"""`liuli complete`: continues a prompt, and shows every choice."""

from collections.abc import Iterable
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from liuli.cli.input import read_text
from liuli.cli.options import Adapter, Device, Dtype, Json, ModelName, Pattern, Threads, check_compute, check_model
from liuli.cli.output import Screen, end_stream, note, print_json, stream
from liuli.cli.sampling import (
    MaxTokens,
    Seed,
    named_as_typed,
    only_given,
    set_threads,
    settings_line,
    with_sampling_options,
)
from liuli.cli.step_record import explain_steps, print_step
from liuli.cli.structure import Choices, GrammarFile, Regex, SchemaText, grammar_of
from liuli.cli.work_progress import work_progress
from liuli.display import on_screen
from liuli.errors import LiuliError
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.generate.model import Completion, Model
    from liuli.generate.record import StepRecord


Steps = Annotated[
    bool,
    typer.Option(
        "--steps",
        help="Show each step: the most likely tokens, what top-k, top-p and min-p removed, the interval of each token on the "
        "line from 0 to 1, the random number, and the chosen token.",
    ),
]


@with_sampling_options
def complete(
    model: ModelName,
    prompt: Annotated[
        str,
        typer.Argument(metavar="PROMPT", help="The prompt to continue; - reads it from standard input.", show_default=False),
    ],
    max_tokens: MaxTokens = 64,
    seed: Seed = None,
    stop: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Stop before this text. May be repeated.")] = None,
    candidates: Annotated[
        int | None, typer.Option(metavar="N", help="Show this many of the most likely tokens per step.", show_default="5")
    ] = None,
    steps: Steps = False,
    schema: SchemaText = None,
    regex: Regex = None,
    choices: Choices = None,
    grammar: GrammarFile = None,
    adapter: Adapter = None,
    pattern: Pattern = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    threads: Threads = None,
    json: Json = False,
    **sampling: float | None,
) -> None:
    """Continue a prompt, token by token."""
    if candidates is not None and not (steps or json):
        raise LiuliError("--candidates needs --steps or --json: add one of them, or leave out --candidates")
    check_model(model, adapter)
    form = grammar_of(schema, regex, choices, grammar)
    check_compute(device, dtype, threads)
    text = read_text(prompt)
    given = only_given(**sampling)
    recorded = (5 if candidates is None else candidates) if steps or json else None
    with work_progress(f"loading {model}") as work:
        from liuli.generate.model import load

        opened = load(model, device=device, dtype=dtype, pattern=pattern, adapter=adapter)
        set_threads([opened], threads)
        try:
            completion, records = opened.stream(text, max_tokens, seed, stop or (), recorded, grammar=form, **given)
        except LiuliError as error:
            raise named_as_typed(error) from None
        work.show(f"reading the prompt of {counted(len(completion.prompt_ids), 'token')}")
        records = chain(list(islice(records, 1)), records)
        if json and not steps:
            records = list(work.counting(records, "generating tokens", max_tokens))
        if json:
            work.show("hashing the model")
        identity = opened.identity() if json else {}
    if json:
        _print_json(identity, completion, records, line_per_step=steps)
        return
    try:
        print_steps(completion, records) if steps else _print_text(opened, records)
    finally:
        note(settings_line(opened, completion.sampling, completion.seed, given))


def _print_json(
    identity: dict[str, Any], completion: "Completion", records: Iterable["StepRecord"], line_per_step: bool
) -> None:
    """One object; with `--steps` one record per line as it comes, then the object without them."""
    for record in records:
        if line_per_step:
            print_json(record.to_json())
    body = {"model": identity} | completion.to_json()
    if line_per_step:
        del body["steps"]
    print_json(body)


def _print_text(model: "Model", records: Iterable["StepRecord"]) -> None:
    """The text alone, as it is generated; a pipe or a file gets exactly the text."""
    if model.tokenizer is None:
        raise LiuliError(f"{model.path} contains no tokenizer, so no text can be printed: add its tokenizer files")
    text = ""
    try:
        for record in records:
            text = record.text or text
            stream(record.text)
    finally:
        end_stream(text)


def print_steps(completion: "Completion", records: Iterable["StepRecord"]) -> None:
    """Each step as a small table, then the whole text."""
    screen, greedy = Screen(), completion.sampling.temperature == 0
    if not greedy:
        explain_steps(screen)
    for record in records:
        print_step(screen, record, greedy)
    screen.rule()
    prompt, text = on_screen(completion.prompt or ""), on_screen(completion.text)
    screen.print(Text.assemble(prompt, (text, "bold")), soft_wrap=True)  # exactly: the terminal wraps it
    screen.print(f"{counted(len(completion.ids), 'token')}, finish reason: {completion.finish_reason}", style="dim")
