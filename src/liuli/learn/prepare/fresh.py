"""A new run, from the job alone: everything that is fixed before the first step."""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, replace

from liuli.errors import LiuliError
from liuli.learn.prepare import budget
from liuli.learn.prepare.budget import FEWEST_VALIDATED, LOOKED_AT, SAMPLED_AS, Costs, Pace
from liuli.learn.prepare.files import described
from liuli.learn.prepare.fixed import check_compute, choose
from liuli.learn.prepare.job import Job
from liuli.learn.prepare.memory import outlook
from liuli.learn.prepare.model import with_context
from liuli.learn.prepare.setup import RunFacts, Setup
from liuli.learn.run.events import Doing, Event, Note
from liuli.learn.run.folder import TOKENIZER, Run
from liuli.learn.run.journal import Beginning, Journal
from liuli.learn.run.state import random_states, restore_random_states
from liuli.learn.stages.stage import Corpus, Stage, TrainingPlan
from liuli.learn.step.finite import NotFinite
from liuli.learn.step.loop import Training
from liuli.learn.step.recipe import PUBLISHED_PASSES, Recipe, derive
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.plan import is_large
from liuli.units import counted
from liuli.watch import Watch

MINUTES = 5.0  # if no budget is given
# The speed is measured after a step of a few tokens. It allocates gradients and optimizer states and reads all weights for the
# first time, which takes a large model several times as long as a step.
FIRST_PLACES = 16
UNKNOWN = Pace(steps=1 << 30, validations=1, looks=1, validated_tokens=FEWEST_VALIDATED)


class TooLittleTime(LiuliError):
    """The time does not suffice for one step. The run keeps the tokenizer that was trained for it."""


class Fresh:
    """Prepares a new run. When `events` have ended, `training` and `journal` are ready for the first step.

    Args:
        began: `time.perf_counter()` when the run was asked for: a budget of time includes all that was done since.
        watch: is called as files are read.
    """

    training: Training
    journal: Journal

    def __init__(self, run: Run, stage: Stage, job: Job, began: float, watch: Watch | None = None):
        self._run, self._stage, self._job, self._began, self._watch = run, stage, job, began, watch

    def events(self) -> Iterator[Event]:
        """Raises LiuliError: too little text or time; what the stage, the tokenizer and the sources raise."""
        run, stage, job = self._run, self._stage, self._job
        check_compute(job.compute)
        run.clear()
        yield Doing("reading the data")
        data = stage.open(job, self._watch)
        origin = stage.tokenizer_origin(job, data)
        prepared = run.prepared_tokenizer(origin)
        if prepared is not None:
            yield Note("tokenizer: trained by an earlier attempt")
        elif origin is not None:
            yield Doing(f"training the tokenizer ({origin['kind']})")
        elif not job.model.parent:
            yield Note(f"tokenizer: {job.model.tokenizer}")
        tokenization = stage.tokenize(job, data, run.folder / TOKENIZER, prepared)
        if origin is not None:
            run.keep_tokenizer(origin)
        config = stage.config(job, data, tokenization, None)
        yield Doing("encoding the data")
        corpus = stage.encode(job, data, tokenization, config, job.optimisation.length or config.context)
        recipe = _recipe(stage, job, config, corpus)
        corpus = corpus.with_length(recipe.length)
        config = with_context(config, recipe.length, job.model.parent is not None)
        fixed, machine = choose(job.compute, config, recipe.length)
        fixed.apply()
        plan = TrainingPlan(job, data, tokenization, config, corpus)
        memory = outlook(plan, recipe, fixed)
        yield from memory.notes(plan, recipe)
        facts = RunFacts(
            fixed=fixed,
            recipe=recipe,
            **asdict(UNKNOWN),
            data=described(data.files),
            validation=data.validation_rule,
            probes=list(job.run.probes or corpus.prompts()),
            parent=None if data.parent is None else data.parent.hash,
            recompute=memory.recompute,
            inexact=[],
            lowered=[],
        )
        setup = Setup(run, stage, plan, facts)
        asked = job.budget
        minutes = asked.minutes or (MINUTES if asked.tokens is None and asked.epochs is None else None)
        if minutes:
            yield Doing(f"measuring the speed, to turn {counted(minutes, 'minute')} into steps")
            most = _most_steps(setup)
            pace, beginning, decoder = _pace_in_time(setup, 60 * minutes, self._began, most, origin is not None)
            if pace.steps == most:
                yield Note(
                    f"training stops after {PUBLISHED_PASSES} passes over the data, before {counted(minutes, 'minute')} are "
                    f"over, because with more passes the model would memorize the data; set the number with --epochs"
                )
        else:
            pace, beginning, decoder = _pace_of_text(setup), None, None
        setup = replace(setup, facts=replace(facts, **asdict(pace)))
        self.training, self.journal = setup.training(decoder=decoder), setup.journal(beginning)
        yield from setup.notes(self.training)
        run.started()
        yield setup.ready(self.training, machine, memory, minutes and 60 * minutes)


def _recipe(stage: Stage, job: Job, config: Config, corpus: Corpus) -> Recipe:
    """Raises LiuliError: the text is shorter than a sequence."""
    lengths, all_read = corpus.document_lengths()
    recipe = derive(config, lengths, stage.recipe(job, config) | job.optimisation.given(), stage.longest_row(config))
    if all_read and sum(lengths) - len(lengths) < recipe.length:
        raise LiuliError(
            f"the data is too short: it has {counted(sum(lengths), 'token')} to train on, and a sequence has {recipe.length}; "
            f"give more data or a smaller --length"
        )
    return recipe


def _most_steps(setup: Setup) -> int | None:
    """Returns the steps of `PUBLISHED_PASSES` over the data. None: no published model is trained further, or not all data was
    read."""
    if setup.plan.data.parent is None or not is_large(setup.plan.config):
        return None  # before the data is read again
    lengths, all_read = setup.plan.corpus.document_lengths()
    return math.ceil(PUBLISHED_PASSES * sum(lengths) / setup.facts.recipe.tokens) if all_read else None


def _pace_in_time(setup: Setup, seconds: float, began: float, most: int | None, keeps: bool) -> tuple[Pace, Beginning, Decoder]:
    """Measures the speed with a few steps at learning rates of 0, one validation, one sample and one checkpoint. Returns the
    pace, the results for step 0, and the unchanged model.

    Args:
        most: steps, at most; None: as many as fit into the time.
        keeps: whether the run keeps a tokenizer for another attempt.

    Raises:
        TooLittleTime: there is too little time, and the run keeps its tokenizer.
        LiuliError: a number is not finite; there is too little time.
    """
    tokens = setup.facts.recipe.tokens
    trial = setup.training()
    before = random_states(trial.device)
    try:
        if not setup.facts.fixed.compile:  # which would compile for rows of this length
            trial.update(strength=0, places=FIRST_PLACES)
        adapter = setup.plan.job.model.lora is not None
        step = budget.step_seconds(lambda: trial.update(strength=0), seconds, adapter)
        token = step / tokens / 3  # about, for a forward pass alone
        costs = Costs(step, token, SAMPLED_AS * token, LOOKED_AT * token)
        left = seconds - (time.perf_counter() - began)
        validated = budget.pace(costs, max(1, int(left / step)), tokens).validated_tokens
        rehearsal = replace(setup, facts=replace(setup.facts, validated_tokens=validated))
        beginning = rehearsal.journal().rehearse(trial)
    except NotFinite as error:
        raise LiuliError(
            f"the model cannot be trained: while the speed was measured, {error}. Check the model's weights, or try --dtype "
            f"fp32"
        ) from None
    finally:
        trial.rows.close()
        restore_random_states(before, trial.device)
    ready = time.perf_counter() - began
    costs = Costs(step, beginning.validation / validated, beginning.keep, beginning.look)
    found = budget.pace_within(costs, seconds - ready, tokens, validated)
    if found.steps < 1:
        least = ready + replace(found, steps=1).watching(costs) - validated * costs.token + step
        said = (
            f"a budget of {counted(seconds / 60, 'minute')} is too little for one step: preparation takes {ready:.3g} s, and "
            f"{least:.3g} s are needed in all; give --minutes {math.ceil(100 * least / 60) / 100:g} or more"
        )
        if not keeps:
            raise LiuliError(said)
        raise TooLittleTime(f"{said}. {setup.run.folder} keeps the tokenizer, so that preparation there takes less time")
    if most is not None and found.steps > most:
        found = budget.pace(costs, most, tokens, validated)
    return found, beginning, trial.decoder


def _pace_of_text(setup: Setup) -> Pace:
    recipe = setup.facts.recipe
    costs = budget.arithmetic(setup.plan.config, recipe.length, recipe.tokens)
    return budget.pace(costs, _steps_of_text(setup), recipe.tokens)


def _steps_of_text(setup: Setup) -> int:
    asked, recipe = setup.plan.job.budget, setup.facts.recipe
    if asked.tokens is not None:
        return math.ceil(asked.tokens / recipe.tokens)
    assert asked.epochs is not None
    count, once = 0, setup.plan.corpus.rows(recipe, epochs=1)
    while (batch := once.take(recipe.rows)) is not None:
        count += len(batch.pieces)
    return max(1, math.ceil(asked.epochs * count / recipe.rows))
