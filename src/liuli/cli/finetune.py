"""`liuli finetune`: from a model and dialogues to an assistant, in a run's folder."""

import time
from typing import Annotated, Any

import typer

from liuli.cli.options import MODEL, SOURCE
from liuli.cli.training import Inexact, Out, Resume, follow, job_of, with_job_options
from liuli.learn.prepare.job import FINETUNE

Parent = Annotated[str | None, typer.Argument(metavar="MODEL", help=f"The model to fine-tune: {MODEL}.", show_default=False)]
Dialogues = Annotated[list[str] | None, typer.Argument(metavar="DATA", help=f"The dialogues: {SOURCE}.", show_default=False)]


@with_job_options(FINETUNE)
def finetune(
    out: Out,
    model: Parent = None,
    data: Dialogues = None,
    resume: Resume = False,
    inexact: Inexact = False,
    **given: Any,
) -> None:
    """Fine-tune a model on dialogues. Ctrl-C stops the run after saving it; --resume continues it."""
    began = time.perf_counter()
    follow("assistant", job_of({"parent": model, "sources": data, **given}), out, resume, inexact, began)
