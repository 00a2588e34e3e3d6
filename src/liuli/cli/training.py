"""What the commands that train have in common: options made from the fields of a `Job`, and what Ctrl-C does."""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from inspect import Parameter, signature
from pathlib import Path
from types import FrameType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from liuli.cli.work_progress import work_progress
from liuli.learn.prepare.job import Job, all_fields, option_name

if TYPE_CHECKING:
    from liuli.learn.run.events import Event

Out = Annotated[
    str,
    typer.Option(metavar="RUN", help="Write the run to this new or empty folder, or resume the run in it.", show_default=False),
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in the folder --out.")]
Inexact = Annotated[
    bool,
    typer.Option(
        "--inexact",
        help="Resume even if the data, the machine or the settings have changed, so that later losses differ from those of an "
        "uninterrupted run.",
    ),
]
METAVARS = {int: "N", float: "NUMBER", str: "TEXT"}  # of options that name none
STOPPING = "\nliuli: stopping after this step, and saving; press Ctrl-C again to stop at once\n"
ENDING = "\nliuli: stopping\n"  # before the first step


def with_job_options(command: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command's function, which takes `**given`, an option for each setting that the command has."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [each for each in signature(function).parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        options = [
            _parameter(each.name, kind, each.metadata)
            for _, each, kind in all_fields()
            if each.metadata and each.metadata["only"] in (None, command)
        ]
        made = signature(function).replace(parameters=[*own, *options])
        function.__signature__ = made  # pyright: ignore[reportFunctionMemberAccess]
        function.__annotations__ = {each.name: each.annotation for each in made.parameters.values()}
        return function

    return decorate


def _parameter(name: str, kind: Any, about: Any) -> Parameter:
    """A setting as a parameter that Typer makes an option of."""
    shown: Any = about["shown"] or False
    if isinstance(kind, UnionType):  # without its None
        kind = next(each for each in get_args(kind) if each is not type(None))
    metavar = about["metavar"] or METAVARS.get(kind)
    declared = typer.Option(f"--{option_name(name)}", help=about["help"], metavar=metavar, show_default=shown)
    if kind is bool:
        return _keyword(name, Annotated[bool, declared], False)
    if get_origin(kind) is tuple:
        return _keyword(name, Annotated[list[str] | None, declared], None)
    return _keyword(name, Annotated[kind | None, declared], None)


def _keyword(name: str, annotation: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def job_of(given: dict[str, Any]) -> Job:
    """The job that the options ask for: a switch that is off and a list that is empty were not given.

    Raises:
        LiuliError: values that are out of range, or cannot be given together.
    """
    left_out = (None, [], ())
    return Job.of(**{name: value for name, value in given.items() if value is not False and value not in left_out})


def follow(stage: str, job: Job, folder: str, resume: bool, inexact: bool, began: float) -> None:
    """Trains, shows the progress, and ends the process: 0, or 130 after Ctrl-C.

    Args:
        began: `time.perf_counter()` when the command began, for the time that it reports.
    """
    from liuli.cli.progress import COMMANDS, Progress, resuming
    from liuli.learn.prepare.paths import check_complete, check_paths
    from liuli.learn.run.folder import check_run_folder

    check_run_folder(folder, resume)
    if not resume:
        check_complete(job, COMMANDS[stage])
    check_paths(job, COMMANDS[stage])
    out = Path(folder)

    with work_progress("starting"):
        from liuli.learn.prepare.machine import keep_memory
        from liuli.learn.run_stage import STAGES, run_stage

    keep_memory()
    unit = "supervised tokens" if stage == "assistant" else "tokens"
    progress = Progress(out, began, resuming(out, stage), unit=unit)
    with Interrupt() as interrupt:
        command = ["liuli", *sys.argv[1:]]
        events = run_stage(STAGES[stage], job, out, resume, inexact, interrupt.asked, command, progress.reading)
        sys.exit(progress.follow(interrupt.watching(events)))


class Interrupt:
    """Once the first step has begun, the first Ctrl-C asks for an end after the step, and the run is saved; the second one is
    a KeyboardInterrupt. Before that there is nothing to save, and the first one is a KeyboardInterrupt already."""

    def __enter__(self) -> "Interrupt":
        self._asked = self._said = self._training = False
        self._before: Any = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def watching(self, events: "Iterable[Event]") -> "Iterator[Event]":
        """The same events; they tell when the first step begins."""
        from liuli.learn.run.events import Ready

        self._training = False
        for event in events:
            self._training = self._training or isinstance(event, Ready)
            yield event

    def asked(self) -> bool:
        """Whether the run is to stop after this step. Also says so, once, if the handler could not."""
        if self._asked and not self._said:
            self._said = True
            print(STOPPING, end="", file=sys.stderr, flush=True)
        return self._asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        if not self._training:
            _write_at_once(ENDING)
            raise KeyboardInterrupt
        self._said = _write_at_once(STOPPING)


def _write_at_once(text: str) -> bool:
    """Writes to standard error if the terminal takes it at once. Returns whether it did.

    Not by print: the handler may run within a write to the screen, whose lock is taken, while the thread that draws the panel
    waits for it with another lock in hand.
    """
    with suppress(OSError, ValueError):
        descriptor = sys.stderr.fileno()
        if select.select([], [descriptor], [], 0)[1]:
            os.write(descriptor, text.encode())
            return True
    return False
