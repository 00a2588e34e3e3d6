"""How long a run will take: from the steps and the validations that this command has seen so far."""

import math
import time
from collections import deque
from statistics import fmean
from typing import TYPE_CHECKING

from liuli.cli.wording import about
from liuli.units import scaled

if TYPE_CHECKING:
    from liuli.learn.run.events import Event, Ready

RECENT = 50  # steps whose mean is taken
SETTLED = 3  # steps: the first ones take longer
ENOUGH_STEPS, ENOUGH_SECONDS = 20, 10.0  # of training, whichever comes first, before the speed counts as measured
WORTH = 10.0  # seconds: what ends sooner is not announced
WRONG = 1.3  # times: an estimate that was wrong by less is not corrected


class RemainingTime:
    """Takes the events of a run, each when it is received, and knows how long the rest will take."""

    def __init__(self) -> None:
        self._ready: Ready | None = None
        self._began = self._since = 0.0  # when the run was ready; when its last step ended
        self._steps: deque[float] = deque(maxlen=RECENT)  # seconds of each
        self._done = self._seen = 0  # the last step; steps that this command has seen
        self._validation = 0.0  # seconds of the last validation, with its sample and checkpoint
        self._validated = self._measured = False

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

    def estimate(self) -> str | None:
        """A line that says how long training will take, before its first step. None for a run that ends within seconds, or
        whose budget is a time."""
        ready = self._ready
        if ready is None or ready.expected is None or ready.expected < WORTH:
            return None
        tokens = (ready.steps - ready.step) * ready.recipe["rows"] * ready.recipe["length"]
        count = scaled(float(f"{tokens:.2g}"), 3, ("T", "B", "M", "k", ""))
        rest = "the remaining " if ready.step else ""
        takes = about(ready.expected)
        return f"training on {rest}{count} tokens will take {takes} on this machine, estimated from a few trial steps"

    def correction(self) -> str | None:
        """A line that says how long training will take if the estimate was wrong. It is returned once at most, as soon as
        enough steps are measured; otherwise None."""
        ready, left = self._ready, self.left()
        if self._measured or ready is None or ready.expected is None or left is None or self._seen <= SETTLED:
            return None
        if self._seen < ENOUGH_STEPS and sum(self._steps) < ENOUGH_SECONDS:
            return None
        self._measured = True
        whole = time.perf_counter() - self._began + left
        if left < WORTH or max(whole / ready.expected, ready.expected / whole) < WRONG:
            return None
        how = "slower" if whole > ready.expected else "faster"
        said = f"{how} than estimated: " if ready.expected >= WORTH else ""  # otherwise no estimate was printed
        return f"{said}training will take {about(whole)} in all"
