"""`liuli begin`: the first thing to type. It makes a small world, a base model and an assistant, and compares them with the
truth."""

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.cli.evaluate import comparison_lines
from liuli.display import on_line
from liuli.output_paths import check_new_folder

if TYPE_CHECKING:
    from liuli.cli.output import Screen

PLAYED = 5  # moments of the playback that are shown
BAR = 24  # columns of a share of 1
GROUPS = {
    "a": "(a) asked in training, reworded",
    "b": "(b) in the text, never asked",
    "c": "(c) in no training data",
    "d": "(d) asked after another subject",
}


def begin(
    folder: Annotated[
        str,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Write the world, the runs and the report to this folder. It must be new, empty, or from `liuli begin`.",
        ),
    ] = "liuli-begin",
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Train the base model for this many minutes, including validation and checkpoints. Fine-tuning the assistant "
            "takes nearly as long.",
            show_default="2.35",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Set the random seed (initial weights and data order).")] = 0,
) -> None:
    """Generate a small synthetic corpus (a "world"), train a base model and an assistant on it, and show what they learned.

    This takes about five minutes.
    """
    began = time.perf_counter()
    out = Path(folder)
    if not (folder and os.path.isdir(out / "world")):  # nothing of an earlier `liuli begin`
        check_new_folder(folder)
    from liuli.cli.output import Screen
    from liuli.cli.progress import Progress
    from liuli.cli.training import Interrupt
    from liuli.learn.prepare.machine import keep_memory
    from liuli.recipes import begin as beginning

    screen = Screen(soft_wrap=True)
    resume = f"liuli begin --out {shlex.quote(str(out))}"
    minutes = beginning.MINUTES if minutes is None else minutes
    keep_memory()
    with Interrupt() as interrupt:
        for make, run, unit in (
            (beginning.read_of_it, beginning.RUN, "tokens"),
            (beginning.talk_of_it, beginning.ASSISTANT, "supervised tokens"),
        ):
            events = make(out, minutes, seed, interrupt.asked)
            if code := Progress(out / run, time.perf_counter(), resume, screen, unit).follow(interrupt.watching(events)):
                sys.exit(code)
    screen.print("comparing the models with the true probabilities and facts of the corpus …")
    found = beginning.report(out)
    print_report(found, out, screen, time.perf_counter() - began)


def print_report(found: dict[str, Any], out: Path, screen: "Screen", seconds: float) -> None:
    """Prints what was learned, next to the truth. `found`: the report, whose texts are the model's own; `seconds`: how long all
    of it took."""
    for part in (_prompts, _playback, _losses, _world, _assistant):
        part(found, screen)
    _next(out, screen, seconds)


def _prompts(found: dict[str, Any], screen: "Screen") -> None:
    """What can follow, in the world and as learned by the model."""
    screen.print("\nProbability of each continuation, in the corpus (true) and according to the model (learned):")
    for prompt in found["prompts"]:
        screen.print(f"\n  {on_line(prompt['prompt'])} …")
        likely = sorted(prompt["pieces"], key=lambda piece: -max(piece["truth"], piece["learned"]))[:4]
        for piece in likely:
            bars = "█" * round(BAR * piece["learned"])
            shares = f"true {piece['truth']:>6.1%}  learned {piece['learned']:>6.1%}"
            screen.print(f"    {_padded(on_line(piece['text'].strip()), 18)}{shares}  {bars}")


def _playback(found: dict[str, Any], screen: "Screen") -> None:
    screen.print("\nPredictions during training (most likely next tokens):")
    for prompt in found["playback"][:3]:
        screen.print(f"\n  {on_line(prompt['prompt'])} …")
        for i in _moments(len(prompt["steps"])):
            top = "  ".join(f"{_token(each)} {_percent(each['logprob'])}" for each in prompt["top"][i])
            screen.print(f"    step {prompt['steps'][i]:>6,}  {top}")


def _losses(found: dict[str, Any], screen: "Screen") -> None:
    floor, loss = found["floor"]["nats"], found["validation"]["nats_per_token"]
    first = found["losses"][1]["loss"]
    screen.print(
        f"\nLoss in nats per token: {first:.3f} at the first step, {loss:.3f} at the end on held-out text. The lowest possible "
        f"value (the entropy of the text) is {floor:.3f}."
    )


def _world(found: dict[str, Any], screen: "Screen") -> None:
    screen.print()
    for line in comparison_lines(found["world"]):
        screen.print(line)


def _assistant(found: dict[str, Any], screen: "Screen") -> None:
    """The same questions to both, and how the assistant answered all of them."""
    screen.print("\nThe same questions to the base model, which continues the text, and to the assistant, which answers:")
    for each in found["assistant"]["questions"]:
        truth = f"true, but in no training data: {each['truth']}" if each["group"] == "c" else f"true: {each['truth']}"
        screen.print(f"\n  {on_line(each['question'])}  ({on_line(truth)})")
        for name in ("base", "assistant"):
            screen.print(f"    {name:<10} {on_line(each[name])}")
    screen.print("\nThe assistant's answers to all questions, each in a conversation of its own:")
    for each in found["assistant"]["answers"]:
        shares = f"right {each['right']:>6.1%}  says it does not know {each['refused']:>6.1%}"
        screen.print(f"  {GROUPS[each['group']]:<31} {each['lang']}  {shares}")


def _next(out: Path, screen: "Screen", seconds: float) -> None:
    from liuli.recipes import begin as beginning

    def quoted(*parts: str) -> str:
        return shlex.quote(str(out.joinpath(*parts)))

    model, world = quoted(beginning.RUN, "model"), quoted(beginning.WORLD)
    prompt = "小明今天去游乐园玩"
    screen.print(f"\nThis command took {seconds:.0f} s. All numbers are in {out / beginning.REPORT}. Next:")
    for command, what in (
        (f"liuli complete {model} {prompt} --steps", "see how the model chooses each token"),
        (f"liuli chat {quoted(beginning.ASSISTANT, 'model')}", "talk with the assistant"),
        (f"liuli world ask {prompt}", "print the possible continuations of a text, with their exact probabilities"),
        (f"liuli runs {quoted(beginning.RUN)}", "see the loss curves of the run"),
        (f"liuli evaluate {model} {world}", "measure the model on the whole text"),
        ("liuli train my-text.txt --out my-run --minutes 10", "train a model on your own text"),
    ):
        screen.print(f"  {command}\n      {what}")


def _moments(count: int) -> list[int]:
    """A few of so many, the first and the last among them, evenly spread by their order."""
    return sorted({round(i * (count - 1) / (PLAYED - 1)) for i in range(PLAYED)})


def _token(candidate: dict[str, Any]) -> str:
    from liuli.display import visible

    return visible(candidate["token"]["text"], bytes(candidate["token"]["bytes"]))


def _percent(logprob: float) -> str:
    from math import exp

    return f"{exp(logprob):.0%}"


def _padded(text: str, columns: int) -> str:
    from rich.cells import cell_len

    return text + " " * max(1, columns - cell_len(text))
