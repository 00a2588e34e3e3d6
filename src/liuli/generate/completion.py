"""The completion of a prompt: its text, its ids and the records of the steps so far."""

from dataclasses import dataclass, field
from reprlib import repr as shortened
from typing import Any

from liuli.generate.record import FinishReason, StepRecord
from liuli.generate.sampling import Sampling
from liuli.units import counted


@dataclass(repr=False)
class Completion:
    """A completion, finished or still growing. The same `seed` and `sampling` generate it again.

    Attributes:
        prompt: its text, None if the prompt was ids and there is no tokenizer.
        text: without a stop token. ids: with it.
        finish_reason: None while it grows.
        captures: the texts that the grammar captured, by name; when it is finished.
    """

    prompt: str | None
    prompt_ids: list[int]
    seed: int
    sampling: Sampling
    text: str = ""
    ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    steps: list[StepRecord] = field(default_factory=list)
    captures: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Completion({shortened(self.text)}, {counted(len(self.ids), 'token')}, {self.finish_reason}, seed {self.seed})"

    def add(self, record: StepRecord) -> None:
        """Adds the next step."""
        self.steps.append(record)
        self.text += record.text
        if record.token is not None:
            self.ids.append(record.token.id)
        self.finish_reason = record.finish_reason
        self.captures = record.captures or {}

    def to_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "sampling": self.sampling.to_json(),  # a logit bias of null: banned
            "prompt": {"text": self.prompt, "ids": self.prompt_ids},
            "completion": {"text": self.text, "ids": self.ids, "finish_reason": self.finish_reason}
            | ({"captures": self.captures} if self.captures else {}),
            "steps": [step.to_json() for step in self.steps],
        }
