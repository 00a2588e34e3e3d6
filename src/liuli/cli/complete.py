"""`liuli complete`: go on from a prompt, and show every choice."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from liuli.cli.input import read_text
from liuli.cli.options import Adapter, Device, Dtype, Folder, Json, Pattern, Threads, check_compute
from liuli.cli.output import Screen, end_stream, note, print_json, stream
from liuli.cli.sampling import (
    MaxTokens,
    MinP,
    Seed,
    Temperature,
    TopK,
    TopP,
    named_as_typed,
    only_given,
    set_threads,
    settings_line,
)
from liuli.cli.step_record import print_step
from liuli.cli.wording import counted
from liuli.display import on_screen
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.generate.model import Completion, Model
    from liuli.generate.record import StepRecord


def complete(
    folder: Folder,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What to go on from; - reads standard input.", show_default=False)
    ],
    max_tokens: MaxTokens = 64,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    seed: Seed = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be repeated.")] = None,
    candidates: Annotated[int | None, typer.Option(help="How many candidates a step shows; 5 by default.")] = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="Show each step: candidates, cuts, the number drawn, the choice.")
    ] = False,
    adapter: Adapter = None,
    pattern: Pattern = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Go on from a prompt, token by token."""
    if candidates is not None and not (steps or json):
        raise LiuliError("--candidates shows nothing without --steps or --json")
    check_compute(device, dtype, threads)
    text = read_text(prompt)
    sampling = only_given(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)

    from liuli.generate.model import load

    model = load(folder, device=device, dtype=dtype, pattern=pattern, adapter=adapter)
    set_threads([model], threads)
    recorded = (5 if candidates is None else candidates) if steps or json else None
    try:
        completion, records = model.stream(text, max_tokens, seed, stop or (), recorded, **sampling)
    except LiuliError as error:
        raise named_as_typed(error) from None
    if json:
        _print_json(model, completion, records, line_a_step=steps)
        return
    try:
        _print_steps(completion, records) if steps else _print_text(model, records)
    finally:
        note(settings_line(model, completion.sampling, completion.seed, sampling))


def _print_json(model: "Model", completion: "Completion", records: Iterator["StepRecord"], line_a_step: bool) -> None:
    """One object; with `--steps` a record a line as it comes, then the object without them."""
    for record in records:
        if line_a_step:
            print_json(record.to_json())
    body = {"model": model.identity()} | completion.to_json()
    if line_a_step:
        del body["steps"]
    print_json(body)


def _print_text(model: "Model", records: Iterator["StepRecord"]) -> None:
    """The text alone, as it is generated; a pipe or a file gets exactly the text."""
    if model.tokenizer is None:
        raise LiuliError(f"{model.path} holds no tokenizer, so there is no text to print")
    text = ""
    try:
        for record in records:
            text = record.text or text
            stream(record.text)
    finally:
        end_stream(text)


def _print_steps(completion: "Completion", records: Iterator["StepRecord"]) -> None:
    """Each step as a small picture, then the whole text."""
    screen = Screen()
    for record in records:
        print_step(screen, record, greedy=completion.sampling.temperature == 0)
    screen.rule()
    prompt, text = on_screen(completion.prompt or ""), on_screen(completion.text)
    screen.print(Text(prompt), Text(text, style="bold"), sep="", soft_wrap=True)
    screen.print(f"{counted(len(completion.ids), 'token')}, finished by {completion.finish_reason}", style="dim")
