"""From a budget to a number of steps, once; it is kept with the run."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from liuli.errors import LiuliError
from liuli.learn.run.trace import POINTS

LEAST_STEPS = 10
VALIDATIONS = 20  # of a run, and the one before the first step
SHARE = 0.04  # of the time, to measure speed
WARM_UP = 3  # steps


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds: of a step, of a validation with its sample and checkpoint, of a look at the prompts that are watched."""

    step: float
    validation: float
    look: float

    def steps_within(self, seconds: float) -> int:
        """How many steps fit, with everything that goes with them."""
        seconds = max(0.0, seconds)
        looks = POINTS + math.log2(1 + seconds / self.step)
        left = seconds - (1 + VALIDATIONS) * self.validation - looks * self.look
        return max(0, int(left / self.step))


def step_seconds(update: Callable[[], object], budget: float) -> float:
    """The mean time of steps, measured for a small part of `budget` seconds after some to warm up."""
    for _ in range(WARM_UP):
        update()
    start, count = time.perf_counter(), 0
    while count < WARM_UP or time.perf_counter() - start < SHARE * budget:
        update()
        count += 1
    return (time.perf_counter() - start) / count


def every(steps: int) -> int:
    """Steps from one validation to the next."""
    return math.ceil(steps / VALIDATIONS)


def check_steps(steps: int, budget: str) -> int:
    """Raises LiuliError where a budget is too small to learn anything."""
    if steps < LEAST_STEPS:
        raise LiuliError(f"{budget} is too little: it gives {steps} steps; {LEAST_STEPS} are the least")
    return steps
