"""What a training is made from, and the training that is made from it: at its first step, or where a state left off."""

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch

from liuli.data.validation import Split
from liuli.fields import Record
from liuli.learn import budget, material
from liuli.learn.batches import Batches, Cursor
from liuli.learn.evaluate import Exam
from liuli.learn.events import Ready
from liuli.learn.fixed import Fixed
from liuli.learn.job import Job
from liuli.learn.journal import Journal
from liuli.learn.loop import Training
from liuli.learn.machine import DTYPES, Machine
from liuli.learn.objectives import next_token
from liuli.learn.optim import MuonAdamW
from liuli.learn.recipe import Recipe
from liuli.learn.run import Run
from liuli.learn.state import State, under
from liuli.learn.trace import Probe, Trace
from liuli.model.config import Config
from liuli.model.plan import forward_flops, parameter_parts
from liuli.tokens import Tokenizer

TOKENIZER = "tokenizer"  # the folder within a run


@dataclass(frozen=True, slots=True)
class Facts(Record):
    """What is fixed when a run begins; every state and every model's card has it.

    Attributes:
        fixed: how it computes. steps: of the whole run. data: name, size and hash of each file.
        validation: how held-out text is chosen. validated_tokens: of it that a validation reads.
        probes: prompts that are watched. parent: hash of the model that was gone on from.
        inexact: the steps from which it went on otherwise than it would have, and what differed.
    """

    fixed: Fixed
    recipe: Recipe
    steps: int
    data: list[dict[str, Any]]
    validation: str
    validated_tokens: int
    probes: list[str]
    parent: str | None
    inexact: list[dict[str, Any]]

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "Facts":
        found = {field.name: body[field.name] for field in fields(cls)}
        return cls(**found | {"fixed": Fixed(**body["fixed"]), "recipe": Recipe(**body["recipe"])})


@dataclass(frozen=True, slots=True)
class Setup:
    """What a training is made from."""

    run: Run
    job: Job
    split: Split
    tokenizer: Tokenizer
    config: Config
    facts: Facts

    @property
    def seed(self) -> int:
        return self.job.seed or 0

    @property
    def parameters(self) -> int:
        return sum(parameter_parts(self.config).values())

    def training(self, state: State | None = None) -> Training:
        """At its first step, or where `state` left off (with rows from the beginning where it has no cursor)."""
        fixed, recipe = self.facts.fixed, self.facts.recipe
        device, dtype = torch.device(fixed.device), DTYPES[fixed.dtype]
        if state is None:
            torch.manual_seed(self.seed)
            decoder, cursor = material.make_decoder(self.config, self.job, device), None
        else:
            decoder = material.open_decoder(self.run.checkpoint(state.facts["step"]) / "model", self.config, device)
            cursor = state.facts["batches"] and Cursor(state.facts["batches"], under("batches", state.tensors))
        material.multiply_in(decoder, dtype)
        objective = partial(next_token, hidden=torch.compile(decoder.hidden) if fixed.compile else None)
        batches = Batches(self.split, self.tokenizer, recipe.length, self.seed, buffer=recipe.buffer, cursor=cursor)
        optimizer = MuonAdamW(decoder, recipe.rates, dtype)
        made = Training(decoder, objective, optimizer, batches, recipe, self.facts.steps, device)
        if state is not None:
            made.restore(state)
        return made

    def exam(self) -> Exam:
        return Exam(self.split.validation(), self.tokenizer, self.facts.recipe.length, self.facts.validated_tokens)

    def journal(self) -> Journal:
        size = None if self.job.config or self.job.parent else self.job.size or material.SIZES[0]
        model = {"size": size, "parameters": self.parameters}
        tokenizer = {"kind": self.tokenizer.kind, "vocab_size": self.tokenizer.vocab_size}
        probes, steps = [Probe(text) for text in self.facts.probes], self.facts.steps
        return Journal(
            run=self.run,
            tokenizer=self.tokenizer,
            exam=self.exam(),
            trace=Trace(self.tokenizer, probes, {"model": model, "tokenizer": tokenizer}, self.seed, steps),
            every=budget.every(steps),
            keep=1 if self.job.keep is None else self.job.keep,
            seed=self.seed,
            facts=self.facts.to_json(),
            card={"stage": "base", **model, "seed": self.seed},
            beside=partial(material.write_beside, self.run.folder / TOKENIZER, self.tokenizer),
        )

    def ready(self, training: Training, machine: Machine, seconds: float | None = None) -> Ready:
        """`seconds`: the budget, where it is one of time."""
        fixed, recipe = self.facts.fixed.to_json(), self.facts.recipe
        flops = 3 * forward_flops(self.config, recipe.length / 2)
        return Ready(training.step, training.steps, self.parameters, recipe.to_json(), fixed, flops, machine.peak, seconds)
