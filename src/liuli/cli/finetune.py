"""`liuli finetune`: from a model and dialogues to an assistant, in a run's folder."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from liuli.cli.options import Strict
from liuli.cli.training import (
    Compile,
    Decay,
    Device,
    Dtype,
    Inexact,
    Interrupt,
    Keep,
    Length,
    Minutes,
    Rate,
    Resume,
    Rows,
    Seed,
    Threads,
    Valid,
    WarmDown,
    WarmUp,
)  # fmt: skip


def finetune(
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run's folder.", show_default=False)],
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="A model's folder, or owner/model.", show_default=False)
    ] = None,
    data: Annotated[
        list[str] | None, typer.Argument(metavar="DATA", help="Files or folders of dialogues.", show_default=False)
    ] = None,
    mix: Annotated[str | None, typer.Option(metavar="TEXT", help="Text to learn from as well, a quarter of the rows.")] = None,
    lora: Annotated[
        int | None, typer.Option(metavar="RANK", help="Train an adapter of this rank, and leave the model as it is.")
    ] = None,
    minutes: Minutes = None,
    epochs: Annotated[float | None, typer.Option(help="The budget in passes over the dialogues.")] = None,
    seed: Seed = None,
    valid: Valid = None,
    resume: Resume = False,
    inexact: Inexact = False,
    device: Device = None,
    dtype: Dtype = None,
    threads: Threads = None,
    compile: Compile = False,
    length: Length = None,
    rows: Rows = None,
    lr: Rate = None,
    decay: Decay = None,
    warm_up: WarmUp = None,
    warm_down: WarmDown = None,
    probe: Annotated[list[str] | None, typer.Option(help="A question to watch, for trace.json; may be repeated.")] = None,
    keep: Keep = None,
    strict: Strict = False,
) -> None:
    """Fine-tune a model on dialogues. Ctrl-C saves, and the run can go on."""
    began = time.perf_counter()
    from liuli.cli.progress import Progress, resuming
    from liuli.learn.prepare.job import Job
    from liuli.learn.stages.finetune import finetune

    job = Job(
        sources=tuple(data or ()), parent=model, mix=mix, lora=lora, minutes=minutes, epochs=epochs, seed=seed, valid=valid,
        strict=strict or None, device=device, dtype=dtype, threads=threads, compile=compile or None, keep=keep,
        probes=tuple(probe or ()), length=length, rows=rows, rate=lr, decay=decay, warm_up=warm_up, warm_down=warm_down,
    )  # fmt: skip
    with Interrupt() as interrupt:
        events = finetune(job, out, resume, inexact, interrupt.asked, ["liuli", *sys.argv[1:]])
        sys.exit(Progress(out, began, resuming(out, "assistant")).follow(events))
