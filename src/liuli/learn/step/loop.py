"""The one training loop: forward, loss, backward, step.

Every stage of a model's life comes through here and brings two things: rows (`batches.py`) and an objective (`objectives.py`).
In: a `Training`, which holds all that a step reads and writes, and a `Journal`, which watches and keeps. Out: events.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch

from liuli.data.packing.batch import Batch
from liuli.errors import LiuliError
from liuli.learn.rows.text_rows import Cursor
from liuli.learn.run.events import Event, Stopped, Update
from liuli.learn.run.journal import Journal
from liuli.learn.run.state import State, random_states, restore_random_states, under
from liuli.learn.step.average import Average
from liuli.learn.step.finite import NotFinite, first_bad
from liuli.learn.step.objectives import Objective
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.recipe import Recipe
from liuli.model.decoder import Decoder


class Rows(Protocol):
    """What `Batches` is: rows, and the place among them."""

    def take(self, rows: int) -> Batch | None: ...
    def cursor(self) -> Cursor: ...
    def close(self) -> None: ...


def train(training: "Training", journal: Journal, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Trains to the last step, or until `stop`, which is asked between two steps; then saves, and can go on later.

    Raises:
        LiuliError: a loss, gradient or weight is not finite; the disk is full; the rows come to an end.
    """
    try:
        if not journal.begun:
            yield from journal.record(training, None)
        while training.step < training.steps:
            if stop():
                yield from journal.save(training)
                yield Stopped(training.step, training.steps)
                return
            update = training.update()
            yield update
            yield from journal.record(training, update)
    except NotFinite as error:
        raise LiuliError(
            f"{error}. The learning rate ({training.recipe.rate:g}) may be too high. {journal.last_good()}"
        ) from None
    yield journal.finished(training)


@dataclass
class Training:
    """A decoder that learns.

    Attributes:
        steps: of the whole run. step: done so far. tokens: supervised so far. skipped: batches without a supervised token.
        average: what is validated, shown and saved as the model.
    """

    decoder: Decoder
    objective: Objective
    optimizer: MuonAdamW
    batches: Rows
    recipe: Recipe
    steps: int
    device: torch.device
    step: int = 0
    tokens: int = 0
    skipped: int = 0
    average: Average = field(init=False)

    def __post_init__(self) -> None:
        self.average = Average(self.decoder)

    def update(self) -> Update:
        """One step.

        Raises:
            NotFinite: the loss or a gradient is not finite; names the first tensor that is not.
            LiuliError: the rows have come to an end.
        """
        start = time.perf_counter()
        batch = self._take()
        supervised, nats = batch.supervised, torch.zeros((), device=self.device)
        for part in batch.parts(self.recipe.rows_at_once, self.device):
            part_nats = self.objective(self.decoder, part)
            (part_nats / supervised).backward()
            nats += part_nats.detach()
        loss, norm = float(nats / supervised), self.optimizer.gradient_norm()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._check_finite(batch, loss)
        strength = self.recipe.strength(self.step, self.steps)
        self.optimizer.step(strength)
        self.optimizer.forget_gradients()
        self.step, self.tokens = self.step + 1, self.tokens + supervised
        self.average.update(self.step)
        return Update(self.step, loss, norm, strength, self.tokens, time.perf_counter() - start)

    def _take(self) -> Batch:
        """The next rows that have something to predict."""
        while (batch := self.batches.take(self.recipe.rows)) is not None:
            if batch.supervised:
                return batch
            self.skipped += 1
        raise LiuliError(f"the rows came to an end at step {self.step} of {self.steps}")

    def _check_finite(self, batch: Batch, loss: float) -> None:
        """Raises NotFinite, unless it was only the gradient's norm that overflowed."""
        name = first_bad(self.decoder, batch.parts(self.recipe.rows_at_once, self.device))
        if name is not None or not math.isfinite(loss):
            tensor = f", and the first tensor that is not finite is {name}" if name else ""
            raise NotFinite(f"the loss of step {self.step + 1} is {loss:.4g}{tensor}; nothing was updated")

    def check_weights(self) -> None:
        """Raises NotFinite where a weight is not finite: such a model is neither looked at nor saved."""
        name = first_bad(self.decoder, ())
        if name is not None:
            raise NotFinite(f"{name} is not finite after step {self.step}; the model is not saved")

    def state(self) -> State:
        """All that the next step depends on."""
        cursor = self.batches.cursor()
        tensors = {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state().items()}
        tensors |= {f"weights.{name}": tensor for name, tensor in self.average.weights().items()}
        tensors |= {f"batches.{name}": tensor for name, tensor in cursor.tensors.items()} | random_states()
        facts = {"step": self.step, "tokens": self.tokens, "skipped": self.skipped, "batches": cursor.settings}
        return State(facts, tensors)

    def restore(self, state: State) -> None:
        """Goes on from there; decoder and batches were already made from the same checkpoint, whose model is the average."""
        self.average.restore(under("weights", state.tensors))
        self.optimizer.restore(under("optimizer", state.tensors))
        restore_random_states(state.tensors)
        self.step, self.tokens, self.skipped = (state.facts[name] for name in ("step", "tokens", "skipped"))
