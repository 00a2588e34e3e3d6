"""Notices when training makes a model worse on held-out data."""

from dataclasses import dataclass

LOWERED, LOWERINGS = 0.2, 4  # the learning rate is multiplied by LOWERED, at most LOWERINGS times


def limit(first: float, progress: float) -> float:
    """The held-out loss, in nats per token, above which a run counts as clearly worse than `first`, its loss before training.

    Early steps may raise the loss for a while, until the learning rate falls: at first 1 nat more is allowed.

    Args:
        progress: share of the steps that are done.
    """
    return 1.03 * first + 0.05 + (1 - progress)


@dataclass
class GotWorse(Exception):
    """The held-out loss at `step` is clearly higher than `first`, the loss before the first step (both in nats per token).

    Attributes:
        best: the step with the lowest held-out loss; its checkpoint is kept. rate: the learning rate in force.
    """

    step: int
    loss: float
    first: float
    best: int
    rate: float

    def __str__(self) -> str:
        losses = f"{self.loss:.3f} nats per held-out token at step {self.step}, {self.first:.3f} before training"
        return f"the model got worse: {losses}"
