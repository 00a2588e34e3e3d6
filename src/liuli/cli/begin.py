"""`liuli begin`: the first thing to type: a small world, a base model, an assistant, and what they learned beside the truth."""

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.cli.evaluate import comparison_lines
from liuli.display import on_line

if TYPE_CHECKING:
    from liuli.cli.output import Screen

PLAYED = 5  # moments of the playback that are shown
BAR = 24  # columns of a share of 1
GROUPS = {
    "a": "(a) taught, now in other words",
    "b": "(b) read, and never asked about",
    "c": "(c) never told to anybody",
    "d": "(d) asked after another subject",
}


def begin(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where everything goes.")] = Path("liuli-begin"),
    minutes: Annotated[
        float | None,
        typer.Option(help="Of the base's training, all included; the assistant's is nearly as long.", show_default="2.35"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the model's first weights and of the order of the text.")] = 0,
) -> None:
    """Make a small world, a base model and an assistant in about five minutes, and look at what they learned."""
    began = time.perf_counter()
    from liuli.cli.output import Screen
    from liuli.cli.progress import Progress
    from liuli.cli.training import Interrupt
    from liuli.learn.prepare.machine import keep_memory
    from liuli.recipes import begin as beginning

    screen = Screen(soft_wrap=True)
    going_on = f"liuli begin --out {shlex.quote(str(out))}"
    minutes = beginning.MINUTES if minutes is None else minutes
    keep_memory()
    with Interrupt() as interrupt:
        for make, run in ((beginning.read_of_it, beginning.RUN), (beginning.talk_of_it, beginning.ASSISTANT)):
            events = make(out, minutes, seed, interrupt.asked)
            if code := Progress(out / run, time.perf_counter(), going_on, screen).follow(interrupt.watching(events)):
                sys.exit(code)
    screen.print("comparing what it learned with the truth …")
    found = beginning.report(out)
    print_report(found, out, screen, time.perf_counter() - began)


def print_report(found: dict[str, Any], out: Path, screen: "Screen", seconds: float) -> None:
    """Prints what was learned, next to the truth. `found`: the report, whose texts are the model's own; `seconds`: how long all
    of it took."""
    for part in (_prompts, _playback, _losses, _world, _assistant):
        part(found, screen)
    _next(out, screen, seconds)


def _prompts(found: dict[str, Any], screen: "Screen") -> None:
    """What may follow, in truth and by the model."""
    screen.print("\nWhat may follow, in truth and by the model (shares of all values of the kind):")
    for prompt in found["prompts"]:
        screen.print(f"\n  {on_line(prompt['prompt'])} …")
        likely = sorted(prompt["pieces"], key=lambda piece: -max(piece["truth"], piece["learned"]))[:4]
        for piece in likely:
            bars = "█" * round(BAR * piece["learned"])
            shares = f"true {piece['truth']:>6.1%}  learned {piece['learned']:>6.1%}"
            screen.print(f"    {_padded(on_line(piece['text'].strip()), 18)}{shares}  {bars}")


def _playback(found: dict[str, Any], screen: "Screen") -> None:
    screen.print("\nLearning, played back (the likeliest next tokens):")
    for prompt in found["playback"][:3]:
        screen.print(f"\n  {on_line(prompt['prompt'])} …")
        for i in _moments(len(prompt["steps"])):
            top = "  ".join(f"{_token(each)} {_percent(each['logprob'])}" for each in prompt["top"][i])
            screen.print(f"    step {prompt['steps'][i]:>6,}  {top}")


def _losses(found: dict[str, Any], screen: "Screen") -> None:
    floor, loss = found["floor"]["nats"], found["validation"]["nats_per_token"]
    first = found["losses"][1]["loss"]
    screen.print(
        f"\nLoss, nats a token: {first:.3f} at the first step, {loss:.3f} at the end on held-out text; the floor, which no "
        f"model can be below, is {floor:.3f}."
    )


def _world(found: dict[str, Any], screen: "Screen") -> None:
    screen.print()
    for line in comparison_lines(found["world"]):
        screen.print(line)


def _assistant(found: dict[str, Any], screen: "Screen") -> None:
    """The same questions to both, and how the assistant answered all of them."""
    screen.print("\nThe same questions to the base, which goes on with a text, and to the assistant, which answers:")
    for each in found["assistant"]["questions"]:
        truth = f"nobody told: {each['truth']}" if each["group"] == "c" else f"true: {each['truth']}"
        screen.print(f"\n  {on_line(each['question'])}  ({on_line(truth)})")
        for name in ("base", "assistant"):
            screen.print(f"    {name:<10} {on_line(each[name])}")
    screen.print("\nThe assistant's answers to all questions:")
    for each in found["assistant"]["answers"]:
        shares = f"right {each['right']:>6.1%}  says it does not know {each['refused']:>6.1%}"
        screen.print(f"  {GROUPS[each['group']]:<34} {each['lang']}  {shares}")


def _next(out: Path, screen: "Screen", seconds: float) -> None:
    from liuli.recipes import begin as beginning

    def quoted(*parts: str) -> str:
        return shlex.quote(str(out.joinpath(*parts)))

    model, world = quoted(beginning.RUN, "model"), quoted(beginning.WORLD)
    prompt = "小明今天去游乐园玩"
    screen.print(f"\nAll of this took {seconds:.0f} s; every number is in {out / beginning.REPORT}. Next:")
    for command, what in (
        (f"liuli complete {model} {prompt} --steps", "see it choose, token by token"),
        (f"liuli chat {quoted(beginning.ASSISTANT, 'model')}", "talk with the assistant"),
        (f"liuli world ask {prompt}", "ask the world what is true"),
        (f"liuli runs {quoted(beginning.RUN)}", "see how it learned"),
        (f"liuli evaluate {model} {world}", "measure it on the whole text"),
        ("liuli train my-text.txt --out my-run --minutes 10", "train one on a text of your own"),
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
