"""What the training loop reads from: rows in an order that a seed decides, and the position in that order."""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from liuli.data.packing.batch import Batch


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in the sequence of rows. `settings` (JSON) must be the same when the rows continue from there. `tensors`
    (safetensors) decide the next rows: a few MB of integers."""

    settings: dict[str, Any]
    tensors: dict[str, Tensor]


class Rows(Protocol):
    """Rows to learn from."""

    def take(self, rows: int) -> Batch | None:
        """The next rows; fewer at the end of the last epoch, None after it."""
        ...

    def cursor(self) -> Cursor:
        """The position after the rows taken so far."""
        ...

    def close(self) -> None:
        """Ends reading in the background; no more rows can be taken."""
        ...
