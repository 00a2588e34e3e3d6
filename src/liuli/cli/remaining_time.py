"""How long a run will take: from the steps and the validations that this command has seen so far."""

import math
import time
from collections import deque
from statistics import fmean
from typing import TYPE_CHECKING

from liuli.units import scaled

if TYPE_CHECKING:
    from liuli.learn.run.events import Event, Ready

RECENT = 50  # steps whose mean is taken
SETTLED = 3  # steps: the first ones take longer
ENOUGH_STEPS, ENOUGH_SECONDS = 20, 10.0  # of training, whichever comes first, before an estimate is printed
WORTH = 10.0  # seconds: what ends sooner is not announced
MINUTE, HOUR = 60, 3600


class RemainingTime:
    """Takes the events of a run, each when it is received, and knows how long the rest will take."""

    def __init__(self) -> None:
        self._ready: Ready | None = None
        self._began = self._since = 0.0  # when the run was ready; when its last step ended
        self._steps: deque[float] = deque(maxlen=RECENT)  # seconds of each
        self._done = self._seen = 0  # the last step; steps that this command has seen
        self._validation = 0.0  # seconds of the last validation, with its sample and checkpoint
        self._validated = self._announced = False

    def take(self, event: "Event") -> None:
        from liuli.learn.run import events

        if isinstance(event, events.Ready):
            self._ready, self._done, self._validated = event, event.step, False
            self._began = self._since = time.perf_counter()
        elif isinstance(event, events.Validated):
            self._validated = True
        elif isinstance(event, events.Update):
            now = time.perf_counter()
            if self._validated:
                self._validation = max(0.0, now - self._since - event.seconds)
            self._seen += 1
            if self._seen == SETTLED + 1:
                self._steps.clear()
            self._steps.append(event.seconds)
            self._done, self._since, self._validated = event.step, now, False

    def left(self) -> float | None:
        """Seconds to the end, validations and checkpoints included. None before the first step."""
        if self._ready is None or not self._steps:
            return None
        steps, validations = self._ready.steps, self._ready.validations
        every = math.ceil(steps / validations) if validations else 0
        to_come = math.ceil(steps / every) - self._done // every if every else 0
        return (steps - self._done) * fmean(self._steps) + to_come * self._validation

    def announcement(self) -> str | None:
        """A line that says how long training will take. It is returned once, as soon as enough steps are measured; otherwise
        None. It is never returned for a run that ends within seconds, or whose budget is a time."""
        ready, left = self._ready, self.left()
        if self._announced or ready is None or left is None or ready.seconds is not None or self._seen <= SETTLED:
            return None
        if self._seen < ENOUGH_STEPS and sum(self._steps) < ENOUGH_SECONDS:
            return None
        self._announced = True
        if left < WORTH:
            return None
        tokens = (ready.steps - ready.step) * ready.recipe["rows"] * ready.recipe["length"]
        count = scaled(float(f"{tokens:.2g}"), 3, ("T", "B", "M", "k", ""))
        rest = "the remaining " if ready.step else ""
        whole = time.perf_counter() - self._began + left
        return f"training on {rest}{count} tokens will take {about(whole)} on this machine"


def about(seconds: float) -> str:
    """A time that is only estimated: `about 50 seconds`, `about 4 minutes`, `about 2.5 hours`."""
    if seconds < 1.5 * MINUTE:
        return f"about {max(10, 10 * round(seconds / 10))} seconds"
    if seconds < 1.5 * HOUR:
        return f"about {round(seconds / MINUTE)} minutes"
    return f"about {float(f'{seconds / HOUR:.2g}'):g} hours"
