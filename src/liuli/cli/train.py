"""`liuli train`: from text to a base model, in a run's folder."""

import time
from typing import Annotated, Any

import typer

from liuli.cli.options import SOURCE
from liuli.cli.training import Inexact, Out, Resume, follow, job_of, with_job_options
from liuli.learn.prepare.job import TRAIN

Sources = Annotated[list[str] | None, typer.Argument(metavar="SOURCE", help=f"The text: {SOURCE}.", show_default=False)]


@with_job_options(TRAIN)
def train(out: Out, sources: Sources = None, resume: Resume = False, inexact: Inexact = False, **given: Any) -> None:
    """Train a base model on text. Ctrl-C stops the run after saving it; --resume continues it."""
    began = time.perf_counter()
    follow("base", job_of({"sources": sources, **given}), out, resume, inexact, began)
