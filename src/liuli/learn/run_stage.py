"""One run of a stage, from the job to the trained model: `pretrain` and `finetune` start here.

In: a `Job`, the folder of a run, and its `Stage`. Out: events, until the model is trained. A
run that was stopped is resumed from its last checkpoint.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path

from liuli.errors import LiuliError
from liuli.learn.prepare.fixed import process_restored
from liuli.learn.prepare.fresh import Fresh, TooLittleTime
from liuli.learn.prepare.job import Job
from liuli.learn.prepare.resume import Resumed, with_given
from liuli.learn.run.events import Event, Note
from liuli.learn.run.folder import Run, check_run_folder
from liuli.learn.run.guard import LOWERED, LOWERINGS, GotWorse
from liuli.learn.stages.finetune import Finetune
from liuli.learn.stages.pretrain import Pretrain
from liuli.learn.stages.stage import Stage
from liuli.learn.step.loop import train
from liuli.watch import Watch


def run_stage(
    stage: Stage,
    job: Job,
    out: Path,
    resume: bool = False,
    inexact: bool = False,
    stop: Callable[[], bool] = lambda: False,
    command: Sequence[str] = (),
    watch: Watch | None = None,
) -> Iterator[Event]:
    """Trains a model in the folder `out`.

    Args:
        resume: continue the run there; the job must have the same settings as when the run started.
        inexact: resume even if this machine, or the settings given now, make the next losses differ.
        stop: asked between two steps.
        command: the command line, if there is one; it is recorded for people.
        watch: is called as files are read, also by another thread during training.

    Raises:
        LiuliError: there is already a run, or there is none to resume; something differs on resuming; too little text or
            time; what `train` raises.
    """
    began = time.perf_counter()
    check_run_folder(out, resume)
    given = job.located()
    run = Run(out)
    try:
        with process_restored():
            check_run_folder(out, resume)  # again: no other process writes there now
            before, begun = run.settings, bool(run.checkpoints())
            if before is None or not resume:
                job = given.but(today=date.today().isoformat())
                before = {"stage": stage.name, "job": job.to_json(), "command": list(command)}
                run.write_settings(before)
            else:
                if before["stage"] != stage.name:
                    raise LiuliError(f"{out} contains {_resumable(before['stage'], out)}")
                job = with_given(Job.from_json(before["job"]), given)
            if resume and not begun:
                yield Note("the run has no checkpoint yet: it starts from the beginning")

            def prepare(worse: Sequence[GotWorse]) -> Fresh | Resumed:
                if run.checkpoints():
                    return Resumed(run, stage, job, given, inexact, worse, watch)
                return Fresh(run, stage, job, began, watch)

            where_now = before | {"job": job.to_json()}  # the data may have been moved
            yield from _trained(run, prepare, lambda: run.write_settings(where_now), stop)
    except TooLittleTime:
        raise
    except BaseException:
        run.withdraw()
        raise
    finally:
        run.close()


def _resumable(stage: str, out: Path) -> str:
    """What a run of a stage is, and how to resume it, for people."""
    if stage not in STAGES:
        return f"a run of the unknown stage {stage}: resume it with the version of Liuli that started it"
    command = STAGES[stage].command
    return f"a run of {command}: resume it with {command} --out {out} --resume"


def _trained(
    run: Run, prepare: Callable[[Sequence[GotWorse]], Fresh | Resumed], ready: Callable[[], None], stop: Callable[[], bool]
) -> Iterator[Event]:
    """Prepares and trains. If training makes the model worse, the run continues from its best checkpoint with a lower learning
    rate."""
    lowerings: list[GotWorse] = []  # those that the best checkpoint does not know of
    for count in range(1 + LOWERINGS):
        prepared = prepare(lowerings)
        yield from prepared.events()
        ready()
        try:
            yield from train(prepared.training, prepared.journal, stop)
            return
        except GotWorse as found:
            worse = found.with_traceback(None)  # the traceback would keep the model alive next to the next one
            lowerings = [*(each for each in lowerings if each.best == worse.best), worse]
        finally:
            prepared.training.rows.close()
            del prepared
        run.drop_after(worse.best)
        if count < LOWERINGS:
            yield Note(f"{worse}. Going back to step {worse.best} with learning rate {worse.rate * LOWERED:g}")
    worse = lowerings[-1]
    raise LiuliError(
        f"{worse}. The learning rate was lowered {LOWERINGS} times, to {worse.rate:g}, without success. The held-out data may "
        f"differ too much from the training data: check --valid. The best checkpoint is {run.checkpoint(worse.best)}"
    )


STAGES: dict[str, Stage] = {stage.name: stage for stage in (Pretrain(), Finetune())}
pretrain = partial(run_stage, STAGES["base"])  # Trains a base model on the job's `sources`, in a folder
finetune = partial(run_stage, STAGES["assistant"])  # Fine-tunes the job's `parent` on the dialogues in its `sources`
