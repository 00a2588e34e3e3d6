"""A base model from text: which data, which objective, and all that is fixed before the first step.

In: a `Job`, and the folder of a run. Out: events, until the model is trained. A run that was stopped goes on from its last
checkpoint: what was fixed then is taken from there, and whatever is not the same now is named.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from liuli.data.sources import Sources
from liuli.data.validation import Split, Validation
from liuli.errors import LiuliError
from liuli.hub import find_folder
from liuli.learn import budget, fixed, material
from liuli.learn.batches import Batches, Cursor
from liuli.learn.evaluate import Exam
from liuli.learn.events import Event, Note, Ready
from liuli.learn.fixed import Fixed
from liuli.learn.job import FREE, INEXACT, Job, option
from liuli.learn.journal import Journal
from liuli.learn.loop import Training, train
from liuli.learn.machine import DTYPES, Machine, keep_memory
from liuli.learn.objectives import next_token
from liuli.learn.optim import MuonAdamW
from liuli.learn.recipe import Recipe, derive
from liuli.learn.run import Run, read_asked
from liuli.learn.state import State, file_hash, read_state, under
from liuli.learn.trace import Probe, Trace
from liuli.model.config import Config
from liuli.model.families import read_config
from liuli.model.folder import hash_folder
from liuli.model.plan import forward_flops, parameter_parts
from liuli.tokens import Tokenizer, open_tokenizer

MINUTES = 5.0  # where no budget is given
VALIDATED = 0.05 * 3 / budget.VALIDATIONS  # share of the tokens trained on, so that validations take a twentieth of the time
LEAST_VALIDATED, MOST_VALIDATED = 4096, 1 << 20  # tokens
RECIPE = ("length", "rows", "rate", "decay", "warm_up", "warm_down")
FACTS = ("fixed", "recipe", "steps", "data", "validation", "validated_tokens", "probes", "parent", "inexact")  # of a state
TOKENIZER = "tokenizer"  # the folder within a run
UNKNOWN = 1 << 30  # steps
PROBES, PROBE_TOKENS = 3, 12  # where no prompts are named: so many held-out documents, to so many tokens

Prepared = Generator[Event, None, tuple[Training, Journal]]


def pretrain(
    job: Job,
    out: Path,
    resume: bool = False,
    inexact: bool = False,
    stop: Callable[[], bool] = lambda: False,
    command: Sequence[str] = (),
) -> Iterator[Event]:
    """Trains a base model in the folder `out`.

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
            asked, before = job, {"job": job.to_json(), "command": list(command)}
            run.ask(before)
        else:
            asked = _as_asked(Job.from_json(before["job"]), job)
        if resume and not begun:
            yield Note("the run has no checkpoint yet: it begins anew")
        prepared = _again(run, asked, job, inexact) if begun else _fresh(run, asked, began)
        try:
            training, journal = yield from prepared
        except LiuliError:
            run.withdraw()
            raise
        run.ask(before | {"job": asked.to_json()})  # where the text is now
        yield from train(training, journal, stop)
    finally:
        run.close()


@dataclass
class Material:
    """What a training is made from. `facts`: what is fixed for good; the state and the model's card have them."""

    run: Run
    job: Job
    split: Split
    tokenizer: Tokenizer
    config: Config
    recipe: Recipe
    settings: Fixed
    facts: dict[str, Any] = field(default_factory=dict)

    def training(self, steps: int, state: State | None = None) -> Training:
        """At its first step, or where `state` left off (with rows from the beginning where it has no cursor)."""
        device, dtype = torch.device(self.settings.device), DTYPES[self.settings.dtype]
        if state is None:
            torch.manual_seed(self.job.seed or 0)
            decoder, cursor = material.make_decoder(self.config, self.job, device), None
        else:
            decoder = material.open_decoder(self.run.checkpoint(state.facts["step"]) / "model", self.config, device)
            cursor = state.facts["batches"] and Cursor(state.facts["batches"], under("batches", state.tensors))
        material.multiply_in(decoder, dtype)
        objective = partial(next_token, hidden=torch.compile(decoder.hidden) if self.settings.compile else None)
        seed, recipe = self.job.seed or 0, self.recipe
        batches = Batches(self.split, self.tokenizer, recipe.length, seed, buffer=recipe.buffer, cursor=cursor)
        optimizer = MuonAdamW(decoder, self.recipe.rates, dtype)
        made = Training(decoder, objective, optimizer, batches, self.recipe, steps, device)
        if state is not None:
            made.restore(state)
        return made

    def exam(self, tokens: int) -> Exam:
        """Held-out windows of about so many tokens."""
        return Exam(self.split.validation(), self.tokenizer, self.recipe.length, tokens)

    def journal(self, training: Training, exam: Exam) -> Journal:
        seed, size = self.job.seed or 0, None if self.job.config or self.job.parent else self.job.size or material.SIZES[0]
        model = {"size": size, "parameters": sum(parameter_parts(self.config).values())}
        tokenizer = {"kind": self.tokenizer.kind, "vocab_size": self.tokenizer.vocab_size}
        probes = [Probe(text) for text in self.facts["probes"]]
        return Journal(
            run=self.run,
            tokenizer=self.tokenizer,
            exam=exam,
            trace=Trace(self.tokenizer, probes, {"model": model, "tokenizer": tokenizer}, seed, training.steps),
            every=budget.every(training.steps),
            keep=1 if self.job.keep is None else self.job.keep,
            seed=seed,
            facts=self.facts,
            card={"stage": "base", **model, "seed": seed},
            beside=partial(material.write_beside, self.run.folder / TOKENIZER, self.tokenizer),
        )

    def ready(self, training: Training, machine: Machine, seconds: float | None = None) -> Ready:
        flops, parameters = 3 * forward_flops(self.config, self.recipe.length / 2), sum(parameter_parts(self.config).values())
        recipe, settings = self.recipe.to_json(), self.settings.to_json()
        return Ready(training.step, training.steps, parameters, recipe, settings, flops, machine.peak, seconds)


def _fresh(run: Run, job: Job, began: float) -> Prepared:
    """Everything from the job alone."""
    run.clear()
    yield Note("reading the text")
    split, files = _open(job)
    if not job.parent:
        yield Note(f"tokenizer: {job.tokenizer or 'bpe'}")
    tokenizer = material.make_tokenizer(job, split, run.folder / TOKENIZER)
    lengths, all_read = material.document_lengths(split, tokenizer)
    config = material.config_of(job, tokenizer)
    recipe = derive(config, lengths, {name: getattr(job, name) for name in RECIPE})
    if all_read and sum(lengths) - len(lengths) < recipe.length:
        raise LiuliError(
            f"the text is too short: it has {sum(lengths):,} tokens to train on, and a row has {recipe.length}; give more text "
            f"or a smaller --length"
        )
    config = material.with_context(config, recipe.length, job.parent is not None)
    settings, machine = fixed.choose(job, config, recipe.length)
    settings.apply()
    made = Material(run, job, split, tokenizer, config, recipe, settings)
    made.facts = {"fixed": settings.to_json(), "recipe": recipe.to_json(), "data": files, "validation": split.how}
    parent = job.parent and hash_folder(find_folder(job.parent, weights=True))
    made.facts |= {"probes": list(job.probes or _prompts(split, tokenizer)), "parent": parent, "inexact": []}
    minutes = job.minutes or (MINUTES if job.tokens is None and job.epochs is None else None)
    if minutes:
        yield Note(f"measuring the speed, to turn {minutes:g} minutes into steps")
        steps = _steps_in_time(made, 60 * minutes, began)
    else:
        steps = _steps_of_text(made)
    made.facts |= {"steps": steps, "validated_tokens": _validated(steps * recipe.tokens)}
    training = made.training(steps)
    journal = made.journal(training, made.exam(made.facts["validated_tokens"]))
    yield made.ready(training, machine, minutes and 60 * minutes)
    return training, journal


def _again(run: Run, asked: Job, said: Job, inexact: bool) -> Prepared:
    """From the newest checkpoint."""
    steps = run.checkpoints()
    state = read_state(run.checkpoint(steps[-1]), steps[-2] if len(steps) > 1 else None)
    step, facts = state.facts["step"], {name: state.facts[name] for name in FACTS}
    split, files = _open(asked)
    differing = _differing_files(facts["data"], files)
    if differing and not inexact:
        raise LiuliError(f"the run cannot go on exactly: {'; '.join(differing)}; bring back the text, or go on with --inexact")
    if differing:
        facts["data"], state.facts["batches"] = files, None
    model = run.checkpoint(step) / "model"
    material.check_beside(run.folder / TOKENIZER, model)
    config, recipe = read_config(model), Recipe(**facts["recipe"])
    settings, machine, others = fixed.again(facts["fixed"], said, asked, inexact, config, recipe.length)
    settings.apply()
    if differing + others:
        yield Note(f"going on inexactly: {'; '.join(differing + others)}")
        facts["inexact"] = [*facts["inexact"], {"step": step, "what": differing + others}]
    facts["fixed"] = settings.to_json()
    made = Material(run, asked, split, open_tokenizer(model), config, recipe, settings, facts)
    training = made.training(facts["steps"], state)
    journal = made.journal(training, made.exam(facts["validated_tokens"]))
    yield from journal.go_on(training, state.facts["best"])
    yield made.ready(training, machine)
    return training, journal


def _as_asked(before: Job, said: Job) -> Job:
    """The job as it was asked; only what is free to differ is taken from what is said now."""
    differing = said.differences(before)
    free = (*FREE, "sources", *["valid"] * (_is_place(said.valid) and _is_place(before.valid)))
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


def _open(job: Job) -> tuple[Split, list[dict[str, Any]]]:
    """The text, and what its files are."""
    if not job.sources:
        raise LiuliError("there is nothing to train on: name files or folders of text")
    split = Validation.parse(job.valid or "content").split(Sources(list(job.sources), bool(job.strict)))
    files = [*split.sources.files, *(split.other.files if split.other else ())]
    return split, [{"name": file.name, "bytes": file.stamp[0], "sha256": file_hash(file.path)} for file in files]


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


def _prompts(split: Split, tokenizer: Tokenizer) -> Iterator[str]:
    """How a few held-out documents begin."""
    for document in islice(split.validation(), PROBES):
        ids = tokenizer.encode(document.text[: 20 * PROBE_TOKENS])[:PROBE_TOKENS]
        yield tokenizer.decode(ids).rstrip("\N{REPLACEMENT CHARACTER}")


def _steps_in_time(made: Material, seconds: float, began: float) -> int:
    """Trains and keeps for a moment, on a copy that is thrown away."""
    start = time.perf_counter()
    trial = made.training(UNKNOWN)
    trial.update()
    again = time.perf_counter() - start  # what it will take to be here once more
    step = budget.step_seconds(trial.update, seconds)
    tokens = int(seconds / step * made.recipe.tokens)
    validation, look = made.journal(trial, made.exam(_validated(tokens))).rehearse(trial)
    trial.batches.close()
    left = seconds - (time.perf_counter() - began) - again
    return budget.check_steps(budget.Speed(step, validation, look).steps_within(left), f"a budget of {seconds:.3g} seconds")


def _steps_of_text(made: Material) -> int:
    job, recipe = made.job, made.recipe
    if job.tokens is not None:
        return budget.check_steps(math.ceil(job.tokens / recipe.tokens), f"a budget of {job.tokens:g} tokens")
    assert job.epochs is not None
    rows, once = 0, Batches(made.split, made.tokenizer, recipe.length, job.seed or 0, epochs=1)
    while (batch := once.take(64)) is not None:
        rows += len(batch.pieces)
    return budget.check_steps(math.ceil(job.epochs * rows / recipe.rows), f"a budget of {job.epochs:g} epochs")


def _validated(tokens: int) -> int:
    """Of a run over so many tokens: how many are held-out ones that each validation reads."""
    return min(MOST_VALIDATED, max(LEAST_VALIDATED, int(VALIDATED * tokens)))
