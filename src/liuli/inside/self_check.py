"""The checks that every view makes of its own numbers."""

from dataclasses import dataclass
from typing import Any

from liuli.fields import Record

MEANINGS = {  # what the value of each check is, for people
    "distributions_sum_to_1": "the largest distance of a distribution's sum from 1",
    "answers_equal_their_steps": "the largest difference between an answer's log-probability and the sum over its steps",
}


@dataclass(frozen=True, slots=True)
class SelfCheck(Record):
    """Something that must hold for what a view shows to be true: `value`, in `unit`, is at most `limit`. NaN does not hold."""

    name: str
    value: float
    unit: str
    limit: float

    @property
    def ok(self) -> bool:
        return self.value <= self.limit

    @property
    def meaning(self) -> str:
        """What `value` is, for people."""
        return MEANINGS[self.name]

    def to_json(self) -> dict[str, Any]:
        return Record.to_json(self) | {"ok": self.ok}
