"""A new run, from the job alone: everything that is fixed before the first step."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace

from liuli.errors import LiuliError
from liuli.learn.prepare import budget
from liuli.learn.prepare.files import described
from liuli.learn.prepare.fixed import choose
from liuli.learn.prepare.job import Job
from liuli.learn.prepare.model import with_context
from liuli.learn.prepare.setup import TOKENIZER, RunFacts, Setup
from liuli.learn.run.events import Event, Note
from liuli.learn.run.folder import Run
from liuli.learn.run.journal import Journal
from liuli.learn.stages.stage import Corpus, Stage, TrainingPlan
from liuli.learn.step.finite import NotFinite
from liuli.learn.step.loop import Training
from liuli.learn.step.recipe import Recipe, derive
from liuli.model.config import Config

MINUTES = 5.0  # if no budget is given
VALIDATED = 0.05 * 3 / budget.VALIDATIONS  # share of the tokens trained on, so that validations take a twentieth of the time
LEAST_VALIDATED, MOST_VALIDATED = 4096, 1 << 20  # tokens
UNKNOWN = 1 << 30  # steps


class Fresh:
    """Prepares a new run. When `events` have ended, `training` and `journal` are ready for the first step.

    Args:
        began: `time.perf_counter()` when the run was asked for: a budget of time includes all that was done since.
    """

    training: Training
    journal: Journal

    def __init__(self, run: Run, stage: Stage, job: Job, began: float):
        self._run, self._stage, self._job, self._began = run, stage, job, began

    def events(self) -> Iterator[Event]:
        """Raises LiuliError: too little text or time; what the stage, the tokenizer and the sources raise."""
        run, stage, job = self._run, self._stage, self._job
        run.clear()
        yield Note("reading the text")
        data = stage.open(job)
        if not job.model.parent:
            yield Note(f"tokenizer: {job.model.tokenizer or 'bpe'}")
        tokenization = stage.tokenize(job, data, run.folder / TOKENIZER, None)
        config = stage.config(job, data, tokenization, None)
        corpus = stage.encode(job, data, tokenization, config, job.optimisation.length or config.context)
        recipe = _recipe(stage, job, config, corpus)
        corpus = corpus.with_length(recipe.length)
        config = with_context(config, recipe.length, job.model.parent is not None)
        fixed, machine = choose(job.compute, config, recipe.length)
        fixed.apply()
        facts = RunFacts(
            fixed=fixed,
            recipe=recipe,
            steps=UNKNOWN,
            data=described(data.files),
            validation=data.validation_rule,
            validated_tokens=LEAST_VALIDATED,
            probes=list(job.run.probes or corpus.prompts()),
            parent=None if data.parent is None else data.parent.hash,
            inexact=[],
        )
        setup = Setup(run, stage, TrainingPlan(job, data, tokenization, config, corpus), facts)
        asked = job.budget
        minutes = asked.minutes or (MINUTES if asked.tokens is None and asked.epochs is None else None)
        if minutes:
            yield Note(f"measuring the speed, to turn {minutes:g} minutes into steps")
        steps = _steps_in_time(setup, 60 * minutes, self._began) if minutes else _steps_of_text(setup)
        setup = replace(setup, facts=replace(facts, steps=steps, validated_tokens=_validated(steps * recipe.tokens)))
        self.training, self.journal = setup.training(), setup.journal()
        yield from setup.notes(self.training)
        yield setup.ready(self.training, machine, minutes and 60 * minutes)


def _recipe(stage: Stage, job: Job, config: Config, corpus: Corpus) -> Recipe:
    """Raises LiuliError: the text is shorter than a row."""
    lengths, all_read = corpus.document_lengths()
    recipe = derive(config, lengths, stage.recipe(job) | job.optimisation.given(), stage.longest_row(config))
    if all_read and sum(lengths) - len(lengths) < recipe.length:
        raise LiuliError(
            f"the data is too short: it has {sum(lengths):,} tokens to train on, and a row has {recipe.length}; give more data "
            f"or a smaller --length"
        )
    return recipe


def _steps_in_time(setup: Setup, seconds: float, began: float) -> int:
    """Trains and saves for a moment, on a copy that is thrown away.

    Raises:
        LiuliError: a number is not finite; there is too little time.
    """
    start = time.perf_counter()
    trial = setup.training()
    try:
        trial.update()
        again = time.perf_counter() - start  # what it will take to get here once more
        step = budget.step_seconds(trial.update, seconds)
        tokens = int(seconds / step * setup.facts.recipe.tokens)
        rehearsal = replace(setup, facts=replace(setup.facts, validated_tokens=_validated(tokens)))
        validation, look = rehearsal.journal().rehearse(trial)
    except NotFinite as error:
        raise LiuliError(f"while the speed was measured, {error}. The learning rate may be too high") from None
    finally:
        trial.rows.close()
    ready = time.perf_counter() - began + again
    steps = budget.Speed(step, validation, look).steps_within(seconds - ready)
    return budget.check_steps(steps, f"a budget of {seconds:.3g} seconds, of which {ready:.3g} are needed to prepare,")


def _steps_of_text(setup: Setup) -> int:
    asked, recipe = setup.plan.job.budget, setup.facts.recipe
    if asked.tokens is not None:
        return budget.check_steps(math.ceil(asked.tokens / recipe.tokens), f"a budget of {asked.tokens:g} tokens")
    assert asked.epochs is not None
    count, once = 0, setup.plan.corpus.rows(recipe, epochs=1)
    while (batch := once.take(recipe.rows)) is not None:
        count += len(batch.pieces)
    return budget.check_steps(math.ceil(asked.epochs * count / recipe.rows), f"a budget of {asked.epochs:g} epochs")


def _validated(tokens: int) -> int:
    """How many held-out tokens each validation reads in a run over so many tokens."""
    return min(MOST_VALIDATED, max(LEAST_VALIDATED, int(VALIDATED * tokens)))
