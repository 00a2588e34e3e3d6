"""The learning rates of an optimizer. Without PyTorch, so that `liuli plan` starts fast."""

from dataclasses import dataclass

from liuli.fields import Record, check, is_number, is_positive


@dataclass(frozen=True, slots=True)
class Rates(Record):
    """Learning rates at full strength; each step multiplies them by its schedule.

    Attributes:
        matrices: for the blocks' matrices, or LoRA's A and B. embedding: AdamW's, for tables of vectors and
            rows of them. rest: AdamW's, for norms, biases and an untied head.
        decay: weight decay of the matrices: per step they lose a share of decay times their learning rate.
        momentum: Muon's; None: AdamW trains the matrices too.
    """

    matrices: float
    embedding: float
    rest: float
    decay: float
    momentum: float | None

    def __post_init__(self) -> None:
        check(self, "matrices embedding rest", is_positive, "a number above 0", "the learning rate of ")
        check(self, "decay", lambda value: is_number(value) and 0 <= value < 1, "at least 0 and below 1", "the weight ")
        fits = lambda value: value is None or (is_number(value) and 0 <= value < 1)
        check(self, "momentum", fits, "at least 0 and below 1, or None")
