"""What a training is made from, and the training that is made from it: at its first step, or from a saved state."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch

from liuli.devices import find_dtype
from liuli.errors import LiuliError
from liuli.evaluate.loss import Exam
from liuli.fields import Record
from liuli.files import read_json
from liuli.learn.prepare.fixed import Fixed
from liuli.learn.prepare.forecast import step_times
from liuli.learn.prepare.job import SIZES
from liuli.learn.prepare.machine import Machine
from liuli.learn.prepare.memory import MemoryOutlook
from liuli.learn.prepare.model import multiply_in
from liuli.learn.prepare.tokenizer_files import copy_with_generation_config
from liuli.learn.rows.rows import Cursor
from liuli.learn.run.events import Note, Ready
from liuli.learn.run.folder import TOKENIZER, Run
from liuli.learn.run.journal import Beginning, Journal
from liuli.learn.run.sampler import Sampler
from liuli.learn.run.state import State, under
from liuli.learn.run.trace import Trace
from liuli.learn.stages.stage import Stage, TrainingPlan
from liuli.learn.step.loop import Training
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.recipe import Recipe
from liuli.model.decoder import Decoder
from liuli.model.plan import forward_flops, parameter_parts


@dataclass(frozen=True, slots=True)
class RunFacts(Record):
    """What is fixed when a run starts. Every state and every model card records it.

    Attributes:
        fixed: how it computes. data: name, size and hash of each file. validation: how held-out text is chosen.
        steps, validations, looks, validated_tokens: see `Pace`.
        probes: prompts that are tracked. parent: hash of the model that the run was started from.
        inexact: the steps from which it was resumed inexactly, and what differed.
        recompute: whether the backward pass computes each layer's activations again.
        lowered: each time that it got worse than at the start: the step, the checkpoint from which it continued, and the new
            learning rate.
    """

    fixed: Fixed
    recipe: Recipe
    steps: int
    validations: int
    looks: int
    validated_tokens: int
    data: list[dict[str, Any]]
    validation: str
    probes: list[str]
    parent: str | None
    recompute: bool
    inexact: list[dict[str, Any]]
    lowered: list[dict[str, Any]]

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "RunFacts":
        """Raises LiuliError: the facts are of another version of Liuli."""
        try:
            found = {field.name: body[field.name] for field in fields(cls)}
            return cls(**found | {"fixed": Fixed(**body["fixed"]), "recipe": Recipe(**body["recipe"])})
        except (KeyError, TypeError) as error:
            missing = f' (the field "{error.args[0]}" is missing)' if isinstance(error, KeyError) else ""
            raise LiuliError(
                f"the checkpoint was written by a version of Liuli that records other settings{missing}: resume with that "
                f"version, or start a new run"
            ) from error


@dataclass(frozen=True, slots=True)
class Setup:
    """What a training is made from."""

    run: Run
    stage: Stage
    plan: TrainingPlan
    facts: RunFacts

    @property
    def parameters(self) -> int:
        return sum(parameter_parts(self.plan.config).values())

    def training(self, state: State | None = None, decoder: Decoder | None = None) -> Training:
        """At its first step, or from a state (with rows from the beginning if it has no cursor).

        Args:
            decoder: the unchanged decoder of another training of this setup; None: a new one is opened.
        """
        fixed, recipe = self.facts.fixed, self.facts.recipe
        device, dtype = torch.device(fixed.device), find_dtype(fixed.dtype)
        kept, cursor = None, None
        if state is not None:
            kept = self.run.checkpoint(state.facts["step"]) / "model"
            cursor = state.facts["batches"] and Cursor(state.facts["batches"], under("batches", state.tensors))
        if decoder is None:
            torch.manual_seed(self.plan.job.seed)
            decoder = self.stage.decoder(self.plan, device, kept)
            multiply_in(decoder, dtype)
            decoder.recompute = self.facts.recompute
        objective = self.stage.objective(self.plan, torch.compile(decoder.hidden) if fixed.compile else None)
        optimizer = MuonAdamW(decoder, recipe.rates, dtype)
        rows = self.plan.corpus.rows(recipe, cursor)
        made = Training(decoder, objective, optimizer, rows, recipe, self.facts.steps, device)
        if state is not None:
            made.restore(state)
        return made

    def exam(self) -> Exam:
        """What the model is measured on."""
        length, limit = self.facts.recipe.length, self.facts.validated_tokens
        return Exam(self.plan.corpus.validation(), self.plan.tokenization.tokenizer, length, limit)

    def journal(self, beginning: Beginning | None = None) -> Journal:
        """`beginning`: results for step 0, if they are computed already."""
        job, corpus, tokenizer = self.plan.job, self.plan.corpus, self.plan.tokenization.tokenizer
        model = {"size": self._size(), "parameters": self.parameters}
        about = {"model": model, "tokenizer": {"kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size}}
        probes = [corpus.probe(text) for text in self.facts.probes]
        return Journal(
            run=self.run,
            write_model=partial(self.stage.write_model, self.plan),
            add_tokenizer=partial(
                copy_with_generation_config, self.run.folder / TOKENIZER, tokenizer, rows=self.plan.config.vocab_size
            ),
            sampler=Sampler(tokenizer, corpus.sample_prompt(), job.seed),
            exam=self.exam(),
            trace=Trace(tokenizer, probes, about, job.seed, self.facts.steps, self.facts.looks),
            every=math.ceil(self.facts.steps / self.facts.validations),
            keep=1 if job.run.keep is None else job.run.keep,
            facts=self.facts.to_json(),
            card={"stage": self.stage.name, **model, "seed": job.seed},
            beginning=beginning,
        )

    def _size(self) -> str | None:
        """The name of the model's size, if it has one. A model that is trained further keeps that of its parent."""
        asked, parent = self.plan.job.model, self.plan.data.parent
        if asked.config:
            return None
        if parent is None:
            return asked.size or SIZES[0]
        model = self.run.folder / "model" if self.run.checkpoints() else parent.folder
        return read_json(model / "liuli.json").get("size")

    def notes(self, training: Training) -> Iterator[Note]:
        """What people should know before the first step."""
        yield from map(Note, self.plan.corpus.notes())
        yield from map(Note, self.stage.notes(self.plan, training.decoder))

    def ready(self, training: Training, machine: Machine, memory: MemoryOutlook, seconds: float | None = None) -> Ready:
        """`seconds`: the budget, if it is one of time."""
        fixed, recipe = self.facts.fixed.to_json(), self.facts.recipe
        # Forward pass, gradients of the inputs, and gradients of the weights, which a frozen base does not need.
        products = 3 if self.plan.job.model.lora is None else 2
        flops = products * forward_flops(self.plan.config, recipe.length / 2)
        learned = sum(parameter.numel() for parameter in training.optimizer.parameters)
        counts = training.step, training.steps, self.parameters, learned
        expected = memory.expected.total, memory.free
        mixed = self.plan.job.data.mix is not None
        later = {"validations": self.facts.validations, "tokens": training.tokens, "mixed": mixed}
        takes = self._expected_seconds(training, products) if seconds is None else None
        return Ready(*counts, recipe.to_json(), fixed, flops, machine.peak, seconds, *expected, **later, expected=takes)

    def _expected_seconds(self, training: Training, products: int) -> float:
        """Of the steps to come, and of the validations among them.

        Args:
            products: how many of the three matrix multiplications of a weight in training are computed.
        """
        config, recipe, facts = self.plan.config, self.facts.recipe, self.facts
        times = step_times(config, recipe, torch.device(facts.fixed.device), find_dtype(facts.fixed.dtype))
        steps = facts.steps - training.step
        update = times.update if products == 3 else 0.0  # an adapter is small
        validated = facts.validated_tokens * facts.validations * steps / facts.steps
        return steps * (recipe.tokens * times.token * products / 3 + update) + validated * times.token / 3
