"""What a training is made from, and the training that is made from it: at its first step, or where a state left off."""

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch

from liuli.evaluate.loss import Exam
from liuli.fields import Record
from liuli.learn.prepare import budget, material
from liuli.learn.prepare.fixed import Fixed
from liuli.learn.prepare.machine import DTYPES, Machine
from liuli.learn.rows.rows import Cursor
from liuli.learn.run.events import Ready
from liuli.learn.run.folder import Run
from liuli.learn.run.journal import Journal
from liuli.learn.run.state import State, under
from liuli.learn.run.trace import Trace
from liuli.learn.stages.stage import Stage
from liuli.learn.step.loop import Training
from liuli.learn.step.objectives import NextToken
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.recipe import Recipe
from liuli.model.config import Config
from liuli.model.plan import forward_flops, parameter_parts

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
    stage: Stage
    config: Config
    facts: Facts

    @property
    def parameters(self) -> int:
        return sum(parameter_parts(self.config).values())

    def training(self, state: State | None = None) -> Training:
        """At its first step, or where `state` left off (with rows from the beginning where it has no cursor)."""
        fixed, recipe = self.facts.fixed, self.facts.recipe
        device, dtype = torch.device(fixed.device), DTYPES[fixed.dtype]
        if state is None:
            torch.manual_seed(self.stage.seed)
            decoder, cursor = self.stage.make_decoder(self.config, device), None
        else:
            decoder = self.stage.open_decoder(self.run.checkpoint(state.facts["step"]) / "model", self.config, device)
            cursor = state.facts["batches"] and Cursor(state.facts["batches"], under("batches", state.tensors))
        material.multiply_in(decoder, dtype)
        objective = NextToken(torch.compile(decoder.hidden) if fixed.compile else None)
        optimizer = MuonAdamW(decoder, recipe.rates, dtype)
        rows = self.stage.rows(recipe, cursor)
        made = Training(decoder, objective, optimizer, rows, recipe, self.facts.steps, device)
        if state is not None:
            made.restore(state)
        return made

    def exam(self) -> Exam:
        length, limit = self.facts.recipe.length, self.facts.validated_tokens
        return Exam(self.stage.held_out(length), self.stage.tokenizer, length, limit)

    def journal(self) -> Journal:
        job, used, steps = self.stage.job, self.stage.tokenizer, self.facts.steps
        size = None if job.config or job.parent else job.size or material.SIZES[0]
        model = {"size": size, "parameters": self.parameters}
        tokenizer = {"kind": used.kind, "vocab_size": used.vocab_size}
        probes = [self.stage.probe(text) for text in self.facts.probes]
        return Journal(
            run=self.run,
            stage=self.stage,
            exam=self.exam(),
            trace=Trace(used, probes, {"model": model, "tokenizer": tokenizer}, self.stage.seed, steps),
            every=budget.every(steps),
            keep=1 if job.keep is None else job.keep,
            facts=self.facts.to_json(),
            card={"stage": self.stage.name, **model, "seed": self.stage.seed},
            beside=partial(material.write_beside, self.run.folder / TOKENIZER, used),
        )

    def ready(self, training: Training, machine: Machine, seconds: float | None = None) -> Ready:
        """`seconds`: the budget, where it is one of time."""
        fixed, recipe = self.facts.fixed.to_json(), self.facts.recipe
        flops = 3 * forward_flops(self.config, recipe.length / 2)
        learned = sum(parameter.numel() for parameter in training.optimizer.parameters)
        counts = training.step, training.steps, self.parameters, learned
        return Ready(*counts, recipe.to_json(), fixed, flops, machine.peak, seconds)
