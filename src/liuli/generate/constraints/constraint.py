"""What a constraint on a completion is: the hook by which a grammar, a JSON Schema or a tool call steers the engine."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Constraint(Protocol):
    """The constraint of one request. The engine calls `forced` and `mask` before each token, `accept` and `done` after it. If
    one of them raises, the request ends with an error; the token that it was about is not part of the text."""

    def mask(self, left: int) -> Tensor:
        """Which ids may come next, bool (V).

        Args:
            left: how many tokens may still come, so that the constraint can steer to its end in time.
        """
        ...

    def accept(self, token_id: int) -> None:
        """The next token of the text, chosen or forced."""
        ...

    def forced(self) -> Sequence[int]:
        """The ids that must come next if there is no choice, otherwise none."""
        ...

    def done(self) -> bool:
        """Whether the text is complete: the request ends here."""
        ...
