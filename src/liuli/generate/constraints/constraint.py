"""What a constraint on a completion is: the hook by which a grammar, a JSON Schema or a tool call steers the engine."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Constraint(Protocol):
    """The constraint of one request. Before each pass of the model, the engine calls `forced` and `mask`; after it, `fits` with
    the token that it chose. It calls `accept` and `done` with every token, forced or chosen. If one of them raises, the request
    ends with an error; the token that it was about is not part of the text."""

    def mask(self, left: int) -> Tensor:
        """Which ids may come next, bool (V). It is asked again, for the same place, if `fits` said no.

        Args:
            left: how many tokens may still come, so that the constraint can steer to its end in time.
        """
        ...

    def fits(self, token_id: int) -> bool:
        """Whether the text can still end in time if this token, which `mask` allows, comes next. If not, the engine chooses
        among the others. It is asked only about the token that was chosen, because to answer it for a whole vocabulary would
        take too long."""
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
