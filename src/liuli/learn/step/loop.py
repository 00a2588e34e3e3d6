"""The training loop: forward, loss, backward, step.

Every stage uses it, with its own rows (`rows/`) and objective (`objectives.py`). In: a `Training`, which holds everything that
a step reads and writes, and a `Keeper` (`run/journal.py`), which records and saves. Out: events.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from liuli.data.packing.batch import Batch
from liuli.errors import LiuliError
from liuli.learn.rows.rows import Rows
from liuli.learn.run.events import Event, Stopped, Update
from liuli.learn.run.state import State, random_states, restore_random_states, under
from liuli.learn.step.average import Average
from liuli.learn.step.finite import NotFinite, first_bad
from liuli.learn.step.objectives import Objective
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.recipe import Recipe
from liuli.model.decoder import Decoder

MOST_SKIPPED = 1000  # consecutive batches


class Keeper(Protocol):
    """What the loop needs from a run's journal."""

    @property
    def begun(self) -> bool: ...
    def record(self, training: "Training", update: Update | None) -> Iterator[Event]: ...
    def save(self, training: "Training") -> Iterator[Event]: ...
    def finished(self, training: "Training") -> Iterator[Event]: ...
    def last_good(self) -> str: ...


def train(training: "Training", journal: Keeper, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Trains to the last step, or until `stop`, which is asked between two steps; then saves, and can be resumed later.

    Raises:
        LiuliError: a loss, gradient or weight is not finite; the disk is full; there are no more rows.
        GotWorse: what the journal finds when it validates.
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
            f"{error}. The learning rate ({training.recipe.rate:g}) may be too high: start a new run with a smaller --lr. "
            f"{journal.last_good()}"
        ) from None
    yield from journal.finished(training)


@dataclass
class Training:
    """A decoder that learns.

    Attributes:
        steps: of the whole run. step: how many are done. tokens: supervised so far. skipped: batches with nothing to learn.
        average: the averaged weights, which are validated, sampled from and saved as the model.
    """

    decoder: Decoder
    objective: Objective
    optimizer: MuonAdamW
    rows: Rows
    recipe: Recipe
    steps: int
    device: torch.device
    step: int = 0
    tokens: int = 0
    skipped: int = 0
    average: Average = field(init=False)

    def __post_init__(self) -> None:
        self.average = Average(self.decoder)

    def update(self, strength: float | None = None, places: int | None = None) -> Update:
        """One step.

        Args:
            strength: factor on the learning rates, 0 to 1; None: that of the recipe for this step. 0 changes no weight.
            places: how many positions of each row are read, from its beginning; None: all.

        Raises:
            NotFinite: the loss or a gradient is not finite. The message names the first such tensor.
            LiuliError: there are no more rows.
        """
        start = time.perf_counter()
        batch, weight = self._take()
        batch = batch if places is None else batch.beginnings(places)
        means = self._backward(batch, weight)
        loss = means.pop("loss")
        norm = self.optimizer.gradient_norm()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._check_finite(batch, loss)
        strength = self.recipe.strength(self.step, self.steps) if strength is None else strength
        self.optimizer.step(strength)
        self.optimizer.forget_gradients()
        self.step, self.tokens = self.step + 1, self.tokens + batch.supervised
        self.average.update(self.step)
        return Update(self.step, loss, norm, strength, self.tokens, time.perf_counter() - start, means)

    def _backward(self, batch: Batch, weight: float) -> dict[str, float]:
        """Leaves the gradients of the whole batch in the parameters. Returns the loss and the metrics, each summed over the
        micro-batches and divided by the weight of the whole batch."""
        sums: dict[str, Tensor] = {}
        for part in batch.parts(self._rows_at_once, self.device):
            loss = self.objective(self.decoder, part)
            (loss.total / weight).backward()
            found: dict[str, Tensor] = {"loss": loss.total.detach(), **loss.metrics}
            sums = {name: sums[name] + value if name in sums else value for name, value in found.items()}
        means = (torch.stack(list(sums.values())) / weight).tolist()  # the only wait for a GPU
        return dict(zip(sums, means, strict=True))

    @property
    def _rows_at_once(self) -> int:
        """Rows per forward pass: as the recipe says, in whole units of the objective."""
        unit = self.objective.rows_per_unit
        return max(unit, self.recipe.rows_at_once // unit * unit)

    def _take(self) -> tuple[Batch, float]:
        """The next rows with supervised tokens, and the weight of the objective's units in them."""
        for _ in range(MOST_SKIPPED):
            batch = self.rows.take(self.recipe.rows)
            if batch is None:
                raise LiuliError(f"the training data ended at step {self.step} of {self.steps}: give more data")
            if weight := self.objective.weight(batch):
                return batch, weight
            self.skipped += 1
        raise LiuliError(f"{MOST_SKIPPED:,} consecutive batches have no supervised tokens at step {self.step}: give other data")

    def _check_finite(self, batch: Batch, loss: float) -> None:
        """Raises NotFinite, unless it was only the gradient's norm that overflowed."""
        name = first_bad(self.decoder, batch.parts(self._rows_at_once, self.device))
        if name is not None or not math.isfinite(loss):
            tensor = f", and the first tensor that is not finite is {name}" if name else ""
            raise NotFinite(f"the loss of step {self.step + 1} is {loss:.4g}{tensor}; nothing was updated")

    def check_weights(self) -> None:
        """Raises NotFinite if a weight is not finite: such a model is neither evaluated nor saved."""
        name = first_bad(self.decoder, ())
        if name is not None:
            raise NotFinite(f"{name} is not finite after step {self.step}; the model is not saved")

    def state(self) -> State:
        """Everything that the next step depends on."""
        cursor = self.rows.cursor()
        tensors = {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state().items()}
        tensors |= {f"weights.{name}": tensor for name, tensor in self.average.weights().items()}
        tensors |= {f"batches.{name}": tensor for name, tensor in cursor.tensors.items()} | random_states(self.device)
        facts = {"step": self.step, "tokens": self.tokens, "skipped": self.skipped, "batches": cursor.settings}
        return State(facts, tensors)

    def restore(self, state: State) -> None:
        """Continues from there. Decoder and rows were made from the same checkpoint, whose model is the average."""
        self.average.restore(under("weights", state.tensors))
        self.optimizer.restore(under("optimizer", state.tensors))
        restore_random_states(state.tensors, self.device)
        self.step, self.tokens, self.skipped = (state.facts[name] for name in ("step", "tokens", "skipped"))
