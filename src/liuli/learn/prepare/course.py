"""The course of a run: all that is fixed before the first step, then the training, which can go on later.

In: a `Job`, the folder of a run, and the `Stage` that says what is learned from. Out: events, until the model is trained. A run
that was stopped goes on from its last checkpoint: what was fixed then is taken from there, and whatever is not the same now
is named.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from liuli.errors import LiuliError
from liuli.hub import find_folder
from liuli.learn.prepare import budget, fixed, material
from liuli.learn.prepare.job import FREE, INEXACT, Job, option
from liuli.learn.prepare.machine import keep_memory
from liuli.learn.prepare.setup import TOKENIZER, Facts, Setup
from liuli.learn.run.events import Event, Note
from liuli.learn.run.folder import Run, read_asked
from liuli.learn.run.journal import Journal
from liuli.learn.run.state import read_state
from liuli.learn.stages.stage import Stage
from liuli.learn.step.finite import NotFinite
from liuli.learn.step.loop import Training, train
from liuli.learn.step.recipe import derive
from liuli.model.formats.hugging_face import hash_folder

MINUTES = 5.0  # where no budget is given
VALIDATED = 0.05 * 3 / budget.VALIDATIONS  # share of the tokens trained on, so that validations take a twentieth of the time
LEAST_VALIDATED, MOST_VALIDATED = 4096, 1 << 20  # tokens
RECIPE = ("length", "rows", "rate", "decay", "warm_up", "warm_down")
UNKNOWN = 1 << 30  # steps

Prepared = Generator[Event, None, tuple[Training, Journal]]


def follow(
    stage: type[Stage],
    job: Job,
    out: Path,
    resume: bool = False,
    inexact: bool = False,
    stop: Callable[[], bool] = lambda: False,
    command: Sequence[str] = (),
) -> Iterator[Event]:
    """Trains a model in the folder `out`.

    Args:
        resume: go on with the run there; what the job says must be what was said before.
        inexact: go on even where this machine, or what is said now, makes the next losses differ.
        stop: asked between two steps.
        command: what was typed, if anything was; it is kept for people.

    Raises:
        LiuliError: there is a run already, or none; what differs when it goes on; too little text or time; what `train` raises.
    """
    began = time.perf_counter()
    keep_memory()
    if resume and read_asked(out) is None:
        raise LiuliError(f"there is no run in {out} to go on with: leave out --resume")
    job, run = job.located(), Run(out)
    try:
        before, begun = run.asked, bool(run.checkpoints())  # read again: now nobody else writes there
        if begun and not resume:
            raise LiuliError(f"{out} holds a run already: give --resume to go on with it, or name another folder")
        if before is None or not resume:
            job = replace(job, today=date.today().isoformat())
            asked, before = job, {"stage": stage.name, "job": job.to_json(), "command": list(command)}
            run.ask(before)
        else:
            if before["stage"] != stage.name:
                raise LiuliError(f"{out} holds a run of stage {before['stage']}, with which {stage.command} cannot go on")
            asked = _as_asked(Job.from_json(before["job"]), job)
        if resume and not begun:
            yield Note("the run has no checkpoint yet: it begins anew")
        prepared = _again(run, stage(asked), job, inexact) if begun else _fresh(run, stage(asked), began)
        try:
            training, journal = yield from prepared
        except LiuliError:
            run.withdraw()
            raise
        except NotFinite as error:
            run.withdraw()
            raise LiuliError(f"while the speed was measured, {error}. The learning rate may be too high") from None
        run.ask(before | {"job": asked.to_json()})  # where the text is now
        yield from train(training, journal, stop)
    finally:
        run.close()


def _fresh(run: Run, stage: Stage, began: float) -> Prepared:
    """Everything from the job alone."""
    job = stage.job
    run.clear()
    yield Note("reading the text")
    stage.open()
    if not job.parent:
        yield Note(f"tokenizer: {job.tokenizer or 'bpe'}")
    stage.make_tokenizer(run.folder / TOKENIZER)
    lengths, all_read = stage.lengths()
    config = stage.config()
    given = {name: getattr(job, name) for name in RECIPE if getattr(job, name) is not None}
    recipe = derive(config, lengths, stage.recipe | given, stage.longest_row)
    if all_read and sum(lengths) - len(lengths) < recipe.length:
        raise LiuliError(
            f"the text is too short: it has {sum(lengths):,} tokens to train on, and a row has {recipe.length}; give more text "
            f"or a smaller --length"
        )
    config = material.with_context(config, recipe.length, job.parent is not None)
    settings, machine = fixed.choose(job, config, recipe.length)
    settings.apply()
    facts = Facts(
        fixed=settings,
        recipe=recipe,
        steps=UNKNOWN,
        data=stage.data(),
        validation=stage.held_out_how,
        validated_tokens=LEAST_VALIDATED,
        probes=list(job.probes or stage.prompts()),
        parent=job.parent and hash_folder(find_folder(job.parent, weights=True)),
        inexact=[],
    )
    setup = Setup(run, stage, config, facts)
    minutes = job.minutes or (MINUTES if job.tokens is None and job.epochs is None else None)
    if minutes:
        yield Note(f"measuring the speed, to turn {minutes:g} minutes into steps")
    steps = _steps_in_time(setup, 60 * minutes, began) if minutes else _steps_of_text(setup)
    setup = replace(setup, facts=replace(facts, steps=steps, validated_tokens=_validated(steps * recipe.tokens)))
    training, journal = setup.training(), setup.journal()
    for line in stage.notes(recipe.length):
        yield Note(line)
    yield setup.ready(training, machine, minutes and 60 * minutes)
    return training, journal


def _again(run: Run, stage: Stage, said: Job, inexact: bool) -> Prepared:
    """From the newest checkpoint."""
    steps = run.checkpoints()
    state = read_state(run.checkpoint(steps[-1]), steps[-2] if len(steps) > 1 else None)
    step, facts = state.facts["step"], Facts.from_json(state.facts)
    if said.parent is not None and hash_folder(find_folder(said.parent, weights=True)) != facts.parent:
        raise LiuliError(f"the run was begun from another model than {said.parent}: name that one, or leave it out")
    stage.open()
    data = stage.data()
    differing = _differing_files(facts.data, data)
    if differing and not inexact:
        raise LiuliError(f"the run cannot go on exactly: {'; '.join(differing)}; bring back the text, or go on with --inexact")
    if differing:
        state.facts["batches"] = None
    model = run.checkpoint(step) / "model"
    material.check_beside(run.folder / TOKENIZER, model)
    stage.open_tokenizer(model)
    config = material.with_context(stage.kept_config(model), facts.recipe.length, stage.job.parent is not None)
    settings, machine, others = fixed.again(facts.fixed, said, stage.job, inexact, config, facts.recipe.length)
    settings.apply()
    facts = replace(facts, fixed=settings, data=data if differing else facts.data)
    if differing + others:
        yield Note(f"going on inexactly: {'; '.join(differing + others)}")
        facts = replace(facts, inexact=[*facts.inexact, {"step": step, "what": differing + others}])
    setup = Setup(run, stage, config, facts)
    training, journal = setup.training(state), setup.journal()
    yield from journal.go_on(training, state.facts["best"])
    yield setup.ready(training, machine)
    return training, journal


def _as_asked(before: Job, said: Job) -> Job:
    """The job as it was asked; only what is free to differ is taken from what is said now."""
    differing = said.differences(before)
    free = (*FREE, "sources", "mix", "parent", *["valid"] * (_is_place(said.valid) and _is_place(before.valid)))
    for name, (now, then) in differing.items():
        if name not in (*free, *INEXACT):
            was = f"with --{option(name)} {then}" if then not in (None, ()) else f"without --{option(name)}"
            raise LiuliError(
                f"the run was begun {was}, and --{option(name)} {now} is given now: leave it out to go on, or begin a new run "
                f"in another folder"
            )
    return replace(before, **{name: now for name, (now, _) in differing.items() if name in free})


def _is_place(valid: str | None) -> bool:
    """Whether held-out text lies in a file, which may be elsewhere now; its content is compared later."""
    return valid is not None and valid != "content" and not valid.startswith("tail:")


def _differing_files(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[str]:
    """What is not as it was, in words; where the files are does not matter."""
    if [file["sha256"] for file in before] == [file["sha256"] for file in now]:
        return []
    if len(before) != len(now):
        return [f"the text was in {len(before)} files and is in {len(now)} now"]
    return [
        f"{new['name']} holds {new['bytes']:,} bytes that are not the {old['bytes']:,} of {old['name']} trained on before"
        for old, new in zip(before, now, strict=True)
        if old["sha256"] != new["sha256"]
    ]


def _steps_in_time(setup: Setup, seconds: float, began: float) -> int:
    """Trains and keeps for a moment, on a copy that is thrown away."""
    start = time.perf_counter()
    trial = setup.training()
    trial.update()
    again = time.perf_counter() - start  # what it will take to be here once more
    step = budget.step_seconds(trial.update, seconds)
    tokens = int(seconds / step * setup.facts.recipe.tokens)
    rehearsal = replace(setup, facts=replace(setup.facts, validated_tokens=_validated(tokens)))
    validation, look = rehearsal.journal().rehearse(trial)
    trial.rows.close()
    ready = time.perf_counter() - began + again
    steps = budget.Speed(step, validation, look).steps_within(seconds - ready)
    return budget.check_steps(steps, f"a budget of {seconds:.3g} seconds, where {ready:.3g} are needed to get ready,")


def _steps_of_text(setup: Setup) -> int:
    job, recipe = setup.stage.job, setup.facts.recipe
    if job.tokens is not None:
        return budget.check_steps(math.ceil(job.tokens / recipe.tokens), f"a budget of {job.tokens:g} tokens")
    assert job.epochs is not None
    rows, once = 0, setup.stage.rows(recipe, epochs=1)
    while (batch := once.take(recipe.rows)) is not None:
        rows += len(batch.pieces)
    return budget.check_steps(math.ceil(job.epochs * rows / recipe.rows), f"a budget of {job.epochs:g} epochs")


def _validated(tokens: int) -> int:
    """Of a run over so many tokens: how many are held-out ones that each validation reads."""
    return min(MOST_VALIDATED, max(LEAST_VALIDATED, int(VALIDATED * tokens)))
