"""The checks that every view makes of its own numbers."""

from dataclasses import dataclass
from typing import Any

from liuli.fields import Record


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

    def to_json(self) -> dict[str, Any]:
        return Record.to_json(self) | {"ok": self.ok}
