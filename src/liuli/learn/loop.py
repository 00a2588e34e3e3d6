"""The one training loop: forward, loss, backward, step.

Every stage of a model's life comes through here and brings two things: rows (`batches.py`) and an objective (`objectives.py`).
In: a `Training`, which holds all that a step reads and writes. Out: events, as they happen.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.learn.batches import Batch, Cursor
from liuli.learn.evaluate import Evaluation
from liuli.learn.objectives import Objective
from liuli.learn.optim import MuonAdamW
from liuli.learn.recipe import Recipe
from liuli.learn.state import State, random_states, restore_random_states, under
from liuli.model.decoder import Decoder


class Rows(Protocol):
    """What `Batches` is: rows without end, and a cursor to go on from."""

    def take(self, rows: int) -> Batch | None: ...
    def cursor(self) -> Cursor: ...


@dataclass(frozen=True, slots=True)
class Update(Record):
    """One step. `step` counts from 1; `loss` in nats per supervised token of the whole batch, before the update; `tokens`
    supervised so far; `strength` of the learning rates; `seconds` that the step took."""

    step: int
    loss: float
    gradient_norm: float
    strength: float
    tokens: int
    seconds: float


class NotFinite(LiuliError):
    """A loss or a gradient that is NaN or infinite; nothing was updated."""


@dataclass
class Training:
    """A decoder that learns.

    Attributes:
        steps: of the whole run. step: done so far. tokens: supervised so far. skipped: batches without a supervised token.
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
    seconds: float = field(default=0.0)

    def update(self) -> Update:
        """One step.

        Raises:
            NotFinite: the loss or a gradient is not finite; names the first tensor that is not.
            LiuliError: the rows have come to an end.
        """
        start = time.perf_counter()
        batch = self._take()
        supervised = batch.supervised
        nats = torch.zeros((), device=self.device)
        for part in batch.parts(self.recipe.rows_at_once, self.device):
            part_nats = self.objective(self.decoder, part)
            (part_nats / supervised).backward()
            nats += part_nats.detach()
        loss, norm = float(nats / supervised), self._gradient_norm()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._stop(batch, loss)
        strength = self.recipe.strength(self.step, self.steps)
        self.optimizer.step(strength)
        self.forget_gradients()
        self.step, self.tokens = self.step + 1, self.tokens + supervised
        seconds = time.perf_counter() - start
        self.seconds += seconds
        return Update(self.step, loss, norm, strength, self.tokens, seconds)

    def state(self) -> State:
        """All that the next step depends on, but the weights."""
        cursor = self.batches.cursor()
        tensors = {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state().items()}
        tensors |= {f"batches.{name}": tensor for name, tensor in cursor.tensors.items()} | random_states()
        facts: dict[str, Any] = {"step": self.step, "tokens": self.tokens, "skipped": self.skipped, "seconds": self.seconds}
        return State(facts | {"batches": cursor.settings}, tensors)

    def restore(self, state: State) -> None:
        """Goes on from there; decoder and batches were already made from the same checkpoint."""
        self.optimizer.restore(under("optimizer", state.tensors))
        restore_random_states(state.tensors)
        self.step, self.tokens = state.facts["step"], state.facts["tokens"]
        self.skipped, self.seconds = state.facts["skipped"], state.facts["seconds"]

    def forget_gradients(self) -> None:
        for parameter in self.optimizer.parameters:
            parameter.grad = None

    def _take(self) -> Batch:
        """The next rows that have something to predict."""
        while (batch := self.batches.take(self.recipe.rows)) is not None:
            if batch.supervised:
                return batch
            self.skipped += 1
        raise LiuliError(f"the rows came to an end at step {self.step} of {self.steps}")

    def _gradient_norm(self) -> float:
        gradients = [parameter.grad for parameter in self.optimizer.parameters if parameter.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))

    def _stop(self, batch: Batch, loss: float) -> None:
        """Raises NotFinite, unless only the gradient's norm overflowed."""
        name = self._first_bad(batch)
        if name is None:
            return
        self.forget_gradients()
        raise NotFinite(
            f"step {self.step + 1}: the loss is {loss}; the first tensor that is not finite is {name}. Nothing was updated. "
            f"The learning rate may be too high"
        )

    def _first_bad(self, batch: Batch) -> str | None:
        """In the order in which a step makes them: weights, activations, logits, gradients."""
        for name, parameter in self.decoder.named_parameters():
            if not _finite(parameter):
                return f"the weight {name}"
        found: list[str] = []

        def look(name: str, x: Tensor) -> Tensor:
            if not found and not _finite(x):
                found.append(f"the activation {name}")
            return x

        with torch.no_grad():
            for part in batch.parts(self.recipe.rows_at_once, self.device):
                x_BTD = self.decoder.hidden(part.ids_BT, part.positions_BT, part.segments_BT, tap=look)
                if not found and not all(_finite(self.decoder.logits(row)) for row in x_BTD):
                    found.append("the logits")
        named = ((name, parameter.grad) for name, parameter in self.decoder.named_parameters())
        found += [f"the gradient of {name}" for name, grad in named if grad is not None and not _finite(grad)]
        return found[0] if found else None


def _finite(x: Tensor) -> bool:
    return bool(torch.isfinite(x).all())
