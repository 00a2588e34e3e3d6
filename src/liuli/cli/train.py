"""`liuli train`: from text to a base model, in a run's folder."""

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
    minutes: Minutes = None,
    tokens: Annotated[float | None, typer.Option(help="The budget in tokens, such as 2e6.")] = None,
    epochs: Annotated[float | None, typer.Option(help="The budget in passes over the text.")] = None,
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
    probe: Annotated[list[str] | None, typer.Option(help="A prompt to watch, for trace.json; may be repeated.")] = None,
    keep: Keep = None,
    strict: Strict = False,
) -> None:
    """Train a base model on text. Ctrl-C saves, and the run can go on."""
    began = time.perf_counter()
    from liuli.cli.progress import Progress, resuming
    from liuli.learn.prepare.job import Job
    from liuli.learn.stages.pretrain import pretrain

    job = Job(
        sources=tuple(sources or ()), size=size, config=config, parent=parent, tokenizer=tokenizer, vocab_size=vocab_size,
        minutes=minutes, tokens=tokens, epochs=epochs, seed=seed, valid=valid, strict=strict or None,
        device=device, dtype=dtype, threads=threads, compile=compile or None, keep=keep, probes=tuple(probe or ()),
        length=length, rows=rows, rate=lr, decay=decay, warm_up=warm_up, warm_down=warm_down,
    )  # fmt: skip
    with Interrupt() as interrupt:
        events = pretrain(job, out, resume, inexact, interrupt.asked, ["liuli", *sys.argv[1:]])
        sys.exit(Progress(out, began, resuming(out, "base")).follow(events))
