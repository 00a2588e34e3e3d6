"""`liuli complete`: go on from a prompt, and show every choice."""

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from liuli.cli.sampling import MaxTokens, MinP, Seed, Temperature, TopK, TopP, as_typed, said, set_threads, typed
from liuli.cli.shared import (
    Adapter,
    Device,
    Dtype,
    Folder,
    Json,
    Pattern,
    Threads,
    check_threads,
    counted,
    print_json,
    read_text,
)
from liuli.cli.steps import print_step
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
    check_threads(threads)
    text = read_text(prompt)
    sampling = typed(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)

    from liuli.generate.model import load

    model = load(folder, device=device, dtype=dtype, pattern=pattern, adapter=adapter)
    set_threads([model], threads)
    recorded = (5 if candidates is None else candidates) if steps or json else None
    try:
        completion, records = model.stream(text, max_tokens, seed, stop or (), recorded, **sampling)
    except LiuliError as error:
        raise as_typed(error) from None
    if json:
        _print_json(model, completion, records, line_a_step=steps)
        return
    try:
        _print_steps(completion, records) if steps else _print_text(model, records)
    finally:
        print(f"liuli: {said(model, completion.sampling, completion.seed, sampling)}", file=sys.stderr)


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
    """The text alone, as it comes; a screen gets a line break at the end, and no character that would drive it, a pipe or file
    exactly the text. Where that holds standard error too, what follows there begins on a line of its own."""
    if model.tokenizer is None:
        raise LiuliError(f"{model.path} holds no tokenizer, so there is no text to print")
    text, screen = "", sys.stdout.isatty()
    try:
        for record in records:
            text = record.text or text
            sys.stdout.write(on_screen(record.text) if screen else record.text)
            sys.stdout.flush()
    finally:
        if screen:
            print(flush=True)
        elif text and not text.endswith("\n") and _share_a_pipe():
            print(file=sys.stderr)


def _share_a_pipe() -> bool:
    """Whether standard output and standard error go to one place."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):  # one of them is no file
        return False


def _print_steps(completion: "Completion", records: Iterator["StepRecord"]) -> None:
    """Each step as a small picture, then the whole text."""
    console = Console(highlight=False)
    for record in records:
        print_step(console, record, greedy=completion.sampling.temperature == 0)
    console.rule()
    prompt, text = on_screen(completion.prompt or ""), on_screen(completion.text)
    console.print(Text(prompt), Text(text, style="bold"), sep="", soft_wrap=True)
    console.print(f"{counted(len(completion.ids), 'token')}, finished by {completion.finish_reason}", style="dim")
