"""What the training loop reads from: rows in an order that a seed decides, and the place among them."""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from liuli.data.packing.batch import Batch


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place among the rows. `settings`, for JSON, are what must be the same to continue from there; `tensors`, for
    safetensors, decide the rows to come: a few MB of integers."""

    settings: dict[str, Any]
    tensors: dict[str, Tensor]


class Rows(Protocol):
    """Rows to learn from."""

    def take(self, rows: int) -> Batch | None:
        """The next rows; fewer at the end of the last epoch, None after it."""
        ...

    def cursor(self) -> Cursor:
        """The place behind the rows taken so far."""
        ...

    def close(self) -> None:
        """Ends reading in the background; no more rows can be taken."""
        ...
