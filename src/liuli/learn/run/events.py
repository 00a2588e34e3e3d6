"""The events of a run, for the user interface."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liuli.evaluate.loss import Evaluation
from liuli.fields import Record


@dataclass(frozen=True, slots=True)
class Note:
    """A line for people."""

    text: str


@dataclass(frozen=True, slots=True)
class Doing:
    """What is done next, before the first step. It may take some time."""

    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything is fixed, and training starts or resumes.

    Attributes:
        learned: how many parameters are trained: all, or those of an adapter.
        flops: FLOP to train on one token. peak: FLOP/s of the machine.
        seconds: the budget, if it is given as time.
        memory: expected peak, in bytes. free: available bytes, or None if the system does not report it.
        tokens: supervised in the steps before. mixed: whether the training loss is over dialogues and text, and the validation
            loss over dialogues alone.
        validations: of the whole run, after the one before the first step.
        expected: seconds that the steps and validations to come are estimated to take; None if the budget is a time.
    """

    step: int
    steps: int
    parameters: int
    learned: int
    recipe: dict[str, Any]
    fixed: dict[str, Any]
    flops: float
    peak: float
    seconds: float | None
    memory: float
    free: int | None
    tokens: int = 0
    mixed: bool = False
    validations: int = 0
    expected: float | None = None


@dataclass(frozen=True, slots=True)
class Update(Record):
    """One step. `step` counts from 1; `loss` per unit of the whole batch (nats per supervised token for next-token training),
    before the update; `tokens` supervised so far; `strength`: the schedule's factor on the learning rates, 0 to 1; `seconds`
    that the step took; `metrics` of the objective, per unit."""

    step: int
    loss: float
    gradient_norm: float
    strength: float
    tokens: int
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Without `metrics` if the objective has none."""
        found = Record.to_json(self)
        return found if self.metrics else {name: value for name, value in found.items() if name != "metrics"}


@dataclass(frozen=True, slots=True)
class Validated:
    step: int
    found: Evaluation
    best: bool


@dataclass(frozen=True, slots=True)
class Sampled:
    step: int
    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class Saved:
    step: int
    path: Path


@dataclass(frozen=True, slots=True)
class Stopped:
    """The user asked for it. The run can be resumed from `step`."""

    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class Finished:
    """`best_step`: of the lowest validation loss; `validation`: the last; `memory`: peak memory of the process, in bytes."""

    step: int
    tokens: int
    best_step: int
    validation: Evaluation | None
    memory: int


Event = Note | Doing | Ready | Update | Validated | Sampled | Saved | Stopped | Finished
