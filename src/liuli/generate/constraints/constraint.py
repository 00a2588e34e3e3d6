"""What a constraint on a completion is: the hook by which a grammar, a JSON Schema or a tool call steers the engine."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Constraint(Protocol):
    """One request's constraint; the engine asks before each token and tells after it."""

    def mask(self, left: int) -> Tensor:
        """Which ids may come next, bool (V). `left`: how many tokens may still come, so that the end can be reached."""
        ...

    def accept(self, id: int) -> None:
        """`id` was chosen (or forced)."""
        ...

    def forced(self) -> Sequence[int]:
        """The ids that must come next, if there is no choice; else nothing."""
        ...

    def done(self) -> bool:
        """Whether the text is complete: the request ends here."""
        ...
