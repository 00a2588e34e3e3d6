"""From a budget to a number of steps, and to how often a run is validated and recorded. Decided once, and kept with the run."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean

from liuli.model.config import Config
from liuli.model.plan import forward_flops

VALIDATIONS, LOOKS = 20, 100  # of a run, at most, after those before the first step
WATCHED = 0.15  # share of a run that validations, samples, checkpoints and looks may take
VALIDATED = 0.05 * 3 / VALIDATIONS  # share of the tokens trained on, so that validations take a twentieth of the time
LEAST_VALIDATED, MOST_VALIDATED = 4096, 1 << 20  # tokens
FEWEST_VALIDATED, GOOD_VALIDATIONS = 1024, 6  # rather fewer tokens than fewer validations, within these bounds
FREE = 1e11  # FLOP: a validation that takes less than this does not need to be saved
SAMPLED_AS = 512  # tokens of a batch: what a sample of 40 tokens, one by one, is about as slow as
LOOKED_AT = 48  # tokens of the prompts that are watched, about
SHARE, LONGEST = 0.04, 8.0  # of the time, and seconds, to measure speed
WARM_UP = 3  # steps
SLOW = 0.1  # share of the budget: a step that takes longer is measured once


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a step, of a token that is validated, of a sample and a checkpoint, and of a look at the prompts that are watched. All
    in seconds, or all in FLOP."""

    step: float
    token: float
    keep: float
    look: float


@dataclass(frozen=True, slots=True)
class Pace:
    """`steps` of a run; how often it is validated and looked at on the way; and how many held-out tokens a validation reads."""

    steps: int
    validations: int
    looks: int
    validated_tokens: int

    def watching(self, costs: Costs) -> float:
        """What all validations, samples, checkpoints and looks cost, those before the first step included."""
        looks = 1 + self.validations + min(self.steps, self.looks) + math.log2(max(1, self.steps))
        return (1 + self.validations) * (self.validated_tokens * costs.token + costs.keep) + looks * costs.look


def pace(costs: Costs, steps: int, tokens: int, validated: int | None = None) -> Pace:
    """How often to look at a run of so many steps of `tokens` places, so that looking takes no more than its share.

    Args:
        validated: held-out tokens that a validation reads, if that is decided.
    """
    allowed = WATCHED / (1 - WATCHED) * steps * costs.step
    for_validations, for_looks = 0.8 * allowed, 0.2 * allowed
    validated = validated or _validated_tokens(costs, steps * tokens, for_validations)
    one = validated * costs.token + costs.keep
    validations = VALIDATIONS if not one else max(1, min(VALIDATIONS, int(for_validations / one) - 1))
    looks = LOOKS if not costs.look else max(1, min(LOOKS, int(for_looks / costs.look)))
    return Pace(steps, validations, looks, validated)


def _validated_tokens(costs: Costs, trained: int, allowed: float) -> int:
    """Of a validation in a run over `trained` tokens, so that all of them take no more than `allowed`."""
    validated = min(MOST_VALIDATED, max(LEAST_VALIDATED, int(VALIDATED * trained)))
    if (1 + GOOD_VALIDATIONS) * (validated * costs.token + costs.keep) > allowed:
        affordable = (allowed / (1 + GOOD_VALIDATIONS) - costs.keep) / costs.token
        validated = max(FEWEST_VALIDATED, min(validated, int(affordable)))
    return validated


def pace_within(costs: Costs, seconds: float, tokens: int, validated: int) -> Pace:
    """Returns the pace with as many steps as fit into `seconds`. The validation before the first step is already done.

    Args:
        validated: held-out tokens that a validation reads.
    """
    found = pace(costs, max(1, int((1 - WATCHED) * seconds / costs.step)), tokens, validated)
    left = seconds + validated * costs.token
    found = replace(found, steps=max(0, int((left - found.watching(costs)) / costs.step)))
    if found.steps and found.steps * costs.step + found.watching(costs) > left:  # each step more may add a look
        found = replace(found, steps=found.steps - 1)
    return found


def arithmetic(config: Config, length: int, tokens: int) -> Costs:
    """The costs of a run in FLOP, for a budget that is not one of time. A small model's validations count as nothing.

    Args:
        length: positions of a row. tokens: per step.
    """
    token = forward_flops(config, length / 2)
    free = token * LEAST_VALIDATED < FREE
    return Costs(0, 0, 0, 0) if free else Costs(3 * token * tokens, token, SAMPLED_AS * token, LOOKED_AT * token)


def step_seconds(update: Callable[[], object], seconds: float, adapter: bool = False) -> float:
    """Returns the mean time of a step, after warm-up steps, measured for a small part of a budget of `seconds`. If steps are
    slow compared with that part, fewer are measured, and the last one counts.

    Args:
        adapter: whether only an adapter is trained: its steps take as long at the beginning as later. If all weights of a
            large model are trained, the first steps take twice as long, until all memory is allocated.
    """
    times: list[float] = []
    enough = min(SHARE * seconds, LONGEST)
    most = enough if adapter else SHARE * seconds
    while len(times) < 2 * WARM_UP or sum(times) < enough:
        start = time.perf_counter()
        update()
        times.append(time.perf_counter() - start)
        settled = adapter or len(times) > 1 or times[0] > SLOW * seconds
        if len(times) <= WARM_UP and sum(times) > most and settled:
            return times[-1]
    return fmean(times[WARM_UP:])
