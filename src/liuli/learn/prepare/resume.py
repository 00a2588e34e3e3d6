"""Resumes a run from its newest checkpoint: fixed settings are taken from there, and what differs now is named."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from liuli.errors import LiuliError
from liuli.learn.prepare.files import described, differing_files
from liuli.learn.prepare.fixed import choose_again
from liuli.learn.prepare.job import COMPUTE, Job, option_name
from liuli.learn.prepare.memory import outlook
from liuli.learn.prepare.model import with_context
from liuli.learn.prepare.setup import RunFacts, Setup
from liuli.learn.prepare.tokenizer_files import check_tokenizer_files
from liuli.learn.run.events import Doing, Event, Note
from liuli.learn.run.folder import TOKENIZER, Run
from liuli.learn.run.guard import LOWERED, GotWorse
from liuli.learn.run.journal import Journal
from liuli.learn.run.state import read_state
from liuli.learn.stages.stage import Parent, Stage, TrainingPlan
from liuli.learn.step.loop import Training
from liuli.watch import Watch

FREE = ("keep", "sources", "mix", "parent")  # settings that may differ: data is compared by its content


class Resumed:
    """Prepares a run to be resumed. When `events` have ended, `training` and `journal` are ready for the next step.

    Args:
        job: the original one, except for settings that may differ. given: the job given now.
        inexact: resume even if the next losses will differ.
        worse: each time that training from the newest checkpoint made the model worse. The run continues from there with a
            lower learning rate.
    """

    training: Training
    journal: Journal

    def __init__(
        self, run: Run, stage: Stage, job: Job, given: Job, inexact: bool, worse: Sequence[GotWorse], watch: Watch | None
    ):
        self._run, self._stage, self._job, self._given, self._inexact = run, stage, job, given, inexact
        self._worse, self._watch = worse, watch

    def events(self) -> Iterator[Event]:
        """Raises LiuliError: a checkpoint is damaged; something differs, without `inexact`."""
        run, stage, job, given = self._run, self._stage, self._job, self._given
        steps = run.checkpoints()
        yield Doing("reading the checkpoint and the data")
        state = read_state(run.checkpoint(steps[-1]), steps[-2] if len(steps) > 1 else None)
        step = state.facts["step"]
        facts = RunFacts.from_json(state.facts)
        if given.model.parent is not None and Parent(given.model.parent).hash != facts.parent:
            raise LiuliError(
                f"the run was started from another model, not from {given.model.parent}: give the original model, or leave the "
                f"model out"
            )
        data = stage.open(job, self._watch)
        now = described(data.files)
        differing = differing_files(facts.data, now)
        if differing and not self._inexact:
            raise LiuliError(
                f"the run cannot be resumed exactly: {'; '.join(differing)}; restore the data, or resume with --inexact"
            )
        if differing:
            state.facts["batches"] = None
        kept, length = run.checkpoint(step) / "model", facts.recipe.length
        check_tokenizer_files(run.folder / TOKENIZER, kept)
        tokenization = stage.tokenize(job, data, run.folder / TOKENIZER, kept)
        config = stage.config(job, data, tokenization, kept)
        corpus = stage.encode(job, data, tokenization, config, length)
        config = with_context(config, length, job.model.parent is not None)
        fixed, machine, others = choose_again(facts.fixed, given.compute, self._inexact, config, length)
        fixed.apply()
        facts = replace(facts, fixed=fixed, data=now if differing else facts.data)
        if differing + others:
            yield Note(f"resuming inexactly: {'; '.join(differing + others)}")
            facts = replace(facts, inexact=[*facts.inexact, {"step": step, "what": differing + others}])
        for worse in self._worse:
            facts = _with_lower_rate(facts, worse)
        plan = TrainingPlan(job, data, tokenization, config, corpus)
        memory = outlook(plan, facts.recipe, fixed, facts.recompute)
        yield from memory.notes(plan, facts.recipe)
        setup = Setup(run, stage, plan, facts)
        self.training, self.journal = setup.training(state), setup.journal()
        best = state.facts["best"]
        if differing and step < facts.steps:
            best = None  # measured on other data: the losses cannot be compared
        yield from self.journal.resume(self.training, best)
        yield setup.ready(self.training, machine, memory)


def _with_lower_rate(facts: RunFacts, worse: GotWorse) -> RunFacts:
    """The lost steps are subtracted from the rest, since they have used their part of the budget."""
    rate, lost = worse.rate * LOWERED, worse.step - worse.best
    change = {"step": worse.step, "from": worse.best, "rate": rate}
    return replace(
        facts,
        recipe=replace(facts.recipe, rate=rate),
        steps=max(worse.best + 1, facts.steps - lost),
        lowered=[*facts.lowered, change],
    )


def with_given(before: Job, given: Job) -> Job:
    """The original job, with those settings of the one given now that may differ.

    Raises:
        LiuliError: another setting differs.
    """
    differing = given.differences(before)
    free = (*FREE, *["valid"] * (_is_place(given.data.valid) and _is_place(before.data.valid)))
    for name, (now, then) in differing.items():
        if name not in (*free, *COMPUTE):
            option = option_name(name)
            was = f"with --{option} {_typed(then)}" if then not in (None, ()) else f"without --{option}"
            raise LiuliError(
                f"the run was started {was}, but --{option} {_typed(now)} is given now: leave it out to resume, or start a new "
                f"run in another folder"
            )
    return before.but(**{name: now for name, (now, _) in differing.items() if name in free})


def _typed(value: Any) -> Any:
    """The value of an option as it is typed. A list was given in several options."""
    return " and ".join(value) if isinstance(value, tuple) else value


def _is_place(valid: str | None) -> bool:
    """Whether the held-out data is in a file, which may have been moved. Its content is compared later."""
    return valid is not None and valid != "content" and not valid.startswith("tail:")
