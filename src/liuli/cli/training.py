"""What the commands that train have in common: their options, and what Ctrl-C does."""

import signal
from types import FrameType
from typing import Annotated, Any

import typer

from liuli.cli.output import note

Share = "a share of the steps."

Minutes = Annotated[float | None, typer.Option(help="The budget, all included.", show_default="5")]
Seed = Annotated[int | None, typer.Option(help="Of weights and order.", show_default="0")]
Valid = Annotated[str | None, typer.Option(metavar="content|tail:0.1|FILE", help="What to hold out.", show_default="content")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")]
Inexact = Annotated[bool, typer.Option("--inexact", help="Resume even where the next losses will differ.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; a GPU where there is one.")]
Dtype = Annotated[str | None, typer.Option(help="Of products: fp32 or bf16.", show_default="the faster here")]
Threads = Annotated[int | None, typer.Option(help="CPU threads.", show_default="the fastest number")]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the decoder (needs a C++ compiler).")]
Length = Annotated[int | None, typer.Option(help="Tokens of a row, and the model's context.")]
Rows = Annotated[int | None, typer.Option(help="Rows of a step.")]
Rate = Annotated[float | None, typer.Option(help="Learning rate of the matrices; the others follow it.")]
Decay = Annotated[float | None, typer.Option(help="Weight decay of the matrices.")]
WarmUp = Annotated[float | None, typer.Option(help=f"Learning rate upwards: {Share}")]
WarmDown = Annotated[float | None, typer.Option(help=f"Learning rate downwards: {Share}")]
Keep = Annotated[int | None, typer.Option(help="Checkpoints to keep beside the last and the best.", show_default="1")]


class Interrupt:
    """The first Ctrl-C asks for an end after the step, and the run is saved; the second one is a KeyboardInterrupt."""

    def __enter__(self) -> "Interrupt":
        self._asked = self._said = False
        self._before: Any = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def asked(self) -> bool:
        """Also says so, once. The handler says nothing: it may run within a write to the screen, whose lock is taken, while
        the thread that draws the panel waits for it with another lock in hand."""
        if self._asked and not self._said:
            self._said = True
            note("stopping, and saving; Ctrl-C again stops at once", after_key=True)
        return self._asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
