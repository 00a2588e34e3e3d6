"""`liuli train`: from text to a base model, in a run's folder."""

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from liuli.cli.shared import Strict

Share = "a share of the steps."


def train(
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run's folder.", show_default=False)],
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="SOURCE", help="Files, folders, hub:owner/dataset or -.", show_default=False)
    ] = None,
    parent: Annotated[
        str | None, typer.Option("--from", metavar="MODEL", help="Go on from a model, with its tokenizer.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="nano, micro, mini, small or base.", show_default="nano")] = None,
    config: Annotated[str | None, typer.Option(metavar="FILE", help="A config.json instead of a size.")] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(metavar="bpe|char|FOLDER", help="Train one of that kind, or take a folder's.", show_default="bpe"),
    ] = None,
    vocab_size: Annotated[int | None, typer.Option(help="Of a tokenizer to train.", show_default="the size's own")] = None,
    minutes: Annotated[float | None, typer.Option(help="The budget, all included.", show_default="5")] = None,
    tokens: Annotated[float | None, typer.Option(help="The budget in tokens, such as 2e6.")] = None,
    epochs: Annotated[float | None, typer.Option(help="The budget in passes over the text.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights and order.", show_default="0")] = None,
    valid: Annotated[
        str | None, typer.Option(metavar="content|tail:0.1|FILE", help="What to hold out.", show_default="content")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    inexact: Annotated[bool, typer.Option("--inexact", help="Resume even where the next losses will differ.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps; a GPU where there is one.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of products: fp32 or bf16.", show_default="the faster here")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="the fastest number")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the decoder (needs a C++ compiler).")] = False,
    length: Annotated[int | None, typer.Option(help="Tokens of a row, and the model's context.")] = None,
    rows: Annotated[int | None, typer.Option(help="Rows of a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of the matrices; the others follow it.")] = None,
    decay: Annotated[float | None, typer.Option(help="Weight decay of the matrices.")] = None,
    warm_up: Annotated[float | None, typer.Option(help=f"Learning rate upwards: {Share}")] = None,
    warm_down: Annotated[float | None, typer.Option(help=f"Learning rate downwards: {Share}")] = None,
    probe: Annotated[list[str] | None, typer.Option(help="A prompt to watch, for trace.json; may be repeated.")] = None,
    keep: Annotated[
        int | None, typer.Option(help="Checkpoints to keep beside the last and the best.", show_default="1")
    ] = None,
    strict: Strict = False,
) -> None:
    """Train a base model on text. Ctrl-C saves, and the run can go on."""
    began = time.perf_counter()
    from liuli.cli.progress import Progress
    from liuli.learn.job import Job
    from liuli.learn.pretrain import pretrain

    job = Job(
        sources=tuple(sources or ()), size=size, config=config, parent=parent, tokenizer=tokenizer, vocab_size=vocab_size,
        minutes=minutes, tokens=tokens, epochs=epochs, seed=seed, valid=valid, strict=strict or None,
        device=device, dtype=dtype, threads=threads, compile=compile or None, keep=keep, probes=tuple(probe or ()),
        length=length, rows=rows, rate=lr, decay=decay, warm_up=warm_up, warm_down=warm_down,
    )  # fmt: skip
    with Interrupt() as interrupt:
        sys.exit(Progress(out, began).follow(pretrain(job, out, resume, inexact, interrupt.asked, ["liuli", *sys.argv[1:]])))


class Interrupt:
    """The first Ctrl-C asks for an end after the step, and the run is saved; the second one is a KeyboardInterrupt."""

    def __enter__(self) -> "Interrupt":
        self._asked = False
        self._before: Any = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def asked(self) -> bool:
        return self._asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        print("\nliuli: saving after this step; Ctrl-C again stops at once", file=sys.stderr)
