"""When a run has become worse than it began, and what it does about it."""

from dataclasses import dataclass

LOWERED, LOWERINGS = 0.2, 4  # the learning rate is multiplied by it, at most so many times


def limit(first: float, progress: float) -> float:
    """The held-out loss, in nats a token, above which a run is clearly worse than `first`, its loss before the first step.

    Early steps may cost something, which later ones with their lower rates win back: at first 1 nat more is allowed.

    Args:
        progress: share of the steps that are done.
    """
    return 1.03 * first + 0.05 + (1 - progress)


@dataclass
class GotWorse(Exception):
    """The held-out loss of `step`, in nats a token, is clearly higher than `first`, the one before the first step. `best`: the
    step where it was lowest, whose checkpoint is there. `rate`: the learning rate."""

    step: int
    loss: float
    first: float
    best: int
    rate: float

    def __str__(self) -> str:
        return (
            f"at step {self.step} held-out data have {self.loss:.3f} nats a token, and before the first step {self.first:.3f}"
        )
