"""`liuli begin`: the first thing to type. It makes a small world, a base model and an assistant, and compares them with the
truth."""

import os
import shlex
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from liuli.background import exit_interrupted
from liuli.cli.evaluate import comparison_lines
from liuli.cli.output import Screen, note
from liuli.cli.wording import bar, duration
from liuli.cli.work_progress import work_progress
from liuli.display import on_line
from liuli.output_paths import check_new_folder

PLAYED = 5  # moments of the playback that are shown
BAR, SHARES = 24, 53  # columns of a share of 1; those before it
GROUPS = {
    "a": "(a) asked in training, reworded",
    "b": "(b) in the text, never asked",
    "c": "(c) in no training data",
    "d": "(d) asked after another subject",
    "e": "(e) about what is not in this world: it should say so",
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
    tokens: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Train the base model on this many tokens, such as 2e6. The assistant trains on 0.8 times as many.",
            show_default="4.2e6",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Set the random seed (initial weights and data order).", show_default="0"),
    ] = None,
) -> None:
    """Generate a small synthetic corpus (a "world"), train a base model and an assistant on it, and show what they learned.

    This takes about five minutes on two fast CPU cores, and about ten on slow ones. The results do not depend on the speed.
    """
    began = time.perf_counter()
    out = Path(folder)
    if not (folder and os.path.isdir(out / "world")):  # nothing of an earlier `liuli begin`
        check_new_folder(folder)
    resume, screen = f"liuli begin --out {shlex.quote(str(out))}", Screen()
    try:
        with work_progress("starting"):
            from liuli.recipes import begin as beginning
        before = beginning.is_trained(out)
        _train(out, tokens, seed, resume, screen)
        screen.print_text("part 3 of 3: comparing the models with the true probabilities and facts of the corpus …")
        with work_progress("comparing") as work:
            found = beginning.report(out, work.show)
    except KeyboardInterrupt:
        note(f"stopped. Run {resume} again to resume")
        exit_interrupted()
    print_report(found, out, screen, None if before else time.perf_counter() - began)


def _train(out: Path, tokens: float | None, seed: int | None, resume: str, screen: Screen) -> None:
    """Makes both models, or what is missing of them. Ends the process if the user stops it."""
    from liuli.cli.progress import Progress
    from liuli.cli.training import Interrupt
    from liuli.learn.prepare.machine import keep_memory
    from liuli.recipes import begin as beginning

    keep_memory()
    with Interrupt() as interrupt:
        for make, run, unit in (
            (beginning.read_of_it, beginning.RUN, "tokens"),
            (beginning.talk_of_it, beginning.ASSISTANT, "supervised tokens"),
        ):
            progress = Progress(out / run, time.perf_counter(), resume, screen, unit)
            events = make(out, tokens, seed, interrupt.asked, progress.counting, progress.reading)
            if code := progress.follow(interrupt.watching(events)):
                sys.exit(code)


def print_report(found: dict[str, Any], out: Path, screen: Screen, seconds: float | None) -> None:
    """Prints what was learned, next to the truth.

    Args:
        found: the report, whose texts are the model's own.
        seconds: how long this command took; None if both models had been trained before it.
    """
    for part in (_prompts, _playback, _losses, _world, _assistant):
        part(found, screen)
    screen.print_text(f"\n{_how_long(found, seconds)} All numbers are in {out / 'report.json'}.")
    _next(out, screen)


def _prompts(found: dict[str, Any], screen: Screen) -> None:
    """What can follow, in the world and as learned by the model."""
    screen.print_text("\nProbability of each continuation, in the corpus (true) and according to the model (learned):")
    for prompt in found["prompts"]:
        screen.print_text(f"\n  {on_line(prompt['prompt'])} …")
        likely = sorted(prompt["pieces"], key=lambda piece: -max(piece["truth"], piece["learned"]))[:4]
        for piece in likely:
            drawn = bar(piece["learned"], min(BAR, screen.width - SHARES))
            shares = f"true {piece['truth']:>6.1%}  learned {piece['learned']:>6.1%}"
            screen.print_text(f"    {_padded(on_line(piece['text'].strip()), 19)}{shares}  {drawn}")


def _playback(found: dict[str, Any], screen: Screen) -> None:
    screen.print_text("\nPredictions during training (most likely next tokens):")
    for prompt in found["playback"][:3]:
        screen.print_text(f"\n  {on_line(prompt['prompt'])} …")
        for i in _moments(len(prompt["steps"])):
            tokens = [f"  {_token(each)} {_percent(each['logprob'])}" for each in prompt["top"][i]]
            screen.print_text(_fitting(f"    step {prompt['steps'][i]:>6,}", tokens, screen.width))


def _losses(found: dict[str, Any], screen: Screen) -> None:
    floor, loss = found["floor"]["nats"], found["validation"]["nats_per_token"]
    first = found["losses"][1]["loss"]
    screen.print_text(
        f"\nLoss in nats per token: {first:.3f} at the first step, {loss:.3f} at the end on held-out text. The lowest possible "
        f"value (the entropy of the text) is {floor:.3f}."
    )


def _world(found: dict[str, Any], screen: Screen) -> None:
    screen.print_text("")
    for line in comparison_lines(found["world"]):
        screen.print_text(line)


def _assistant(found: dict[str, Any], screen: Screen) -> None:
    """The same questions to both, and how the assistant answered all of them."""
    screen.print_text("\nThe same questions to the base model, which continues the text, and to the assistant, which answers:")
    for each in found["assistant"]["questions"]:
        truth = f"true, but in no training data: {each['truth']}" if each["group"] == "c" else f"true: {each['truth']}"
        screen.print_text(f"\n  {on_line(each['question'])}  ({on_line(truth)})")
        for name in ("base", "assistant"):
            screen.print_text(f"    {name:<10} {_reply(each[name])}")
    screen.print_text("\nThe assistant's answers to all questions, each in a conversation of its own:")
    group = ""
    for each in found["assistant"]["answers"]:
        if each["group"] != group:
            group = each["group"]
            screen.print_text(f"  {GROUPS[group]}")
        screen.print_text(f"    {each['lang']}  right {each['right']:>6.1%}  says it does not know {each['refused']:>6.1%}")


def _reply(reply: dict[str, Any]) -> str:
    """A reply on one line. A base model may say nothing after a question, because its text ends there."""
    text = on_line(reply["text"]).strip()
    return (text or "(ends the document here)") if reply["ended"] else f"{text} …"


def _how_long(found: dict[str, Any], seconds: float | None) -> str:
    steps = found["training"]["seconds"] + found["assistant"]["training"]["seconds"]
    trained = duration(steps)
    if seconds is not None:
        earlier = ", some of them in an earlier command" if steps > seconds else ""
        return f"This command took {duration(seconds)}; the training steps took {trained} in all{earlier}."
    on = datetime.fromisoformat(found["compared"]).strftime("%Y-%m-%d at %H:%M")
    return (
        f"Nothing was trained now, because both models in this folder were finished. They were compared with the corpus on "
        f"{on}, after {trained} of training steps. For another run, give --out a new folder."
    )


def _next(out: Path, screen: Screen) -> None:
    from liuli.recipes import begin as beginning

    def quoted(*parts: str) -> str:
        return shlex.quote(str(out.joinpath(*parts)))

    model, world = quoted(beginning.RUN), quoted(beginning.WORLD)
    prompt = "小明今天去游乐园玩"
    screen.print_text("Next:")
    for command, what in (
        (f"liuli complete {model} {prompt} --steps", "see how the model chooses each token"),
        (f"liuli chat {quoted(beginning.ASSISTANT)}", "talk with the assistant"),
        (f"liuli world ask {prompt}", "print the possible continuations of a text, with their exact probabilities"),
        (f"liuli runs {model}", "see the loss curves of the run"),
        (f"liuli evaluate {model} {world}", "measure the model on the whole text"),
        ("liuli train my-text.txt --out my-run --minutes 10", "train a model on your own text"),
    ):
        screen.print_command(f"  {command}")
        screen.print_text(f"      {what}")


def _moments(count: int) -> list[int]:
    """A few of so many, the first and the last among them, evenly spread by their order."""
    return sorted({round(i * (count - 1) / (PLAYED - 1)) for i in range(PLAYED)})


def _token(candidate: dict[str, Any]) -> str:
    """A token's text. Byte-level tokens may end within a character, whose bytes are left out."""
    from liuli.display import visible

    data = bytes(candidate["token"]["bytes"])
    whole = data.decode(errors="ignore")
    if whole.encode() == data:
        return visible(candidate["token"]["text"], data)
    return f"{visible(whole)}…" if whole else "(part of a character)"


def _percent(logprob: float) -> str:
    from math import exp

    return f"{exp(logprob):.0%}"


def _fitting(line: str, parts: list[str], columns: int) -> str:
    """The line with the first of the parts, as many as fit the screen, one at least."""
    from rich.cells import cell_len

    for i, part in enumerate(parts):
        if i and cell_len(line + part) > columns:
            break
        line += part
    return line


def _padded(text: str, columns: int) -> str:
    from rich.cells import cell_len

    return text + " " * max(1, columns - cell_len(text))
