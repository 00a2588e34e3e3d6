"""What a person sees of a run: a live panel on a terminal, a line at each validation elsewhere."""

import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from liuli.cli.output import Screen
from liuli.cli.remaining_time import RECENT, RemainingTime
from liuli.cli.wording import counted
from liuli.display import visible
from liuli.units import byte_size

if TYPE_CHECKING:
    from liuli.learn.run.events import Event, Finished, Ready, Sampled, Update, Validated

COMMANDS = {"base": "train", "assistant": "finetune"}  # by stage
LATE = 1.1  # times the budget


class Progress:
    """Follows the events of a run.

    Args:
        out: the run's folder. began: `time.perf_counter()` when the command began. resume: the command that resumes the run.
        unit: what the run counts: "tokens", or "supervised tokens".
    """

    def __init__(self, out: Path, began: float, resume: str, console: Console | None = None, unit: str = "tokens"):
        self._out, self._began, self._resume, self._unit = out, began, resume, unit
        self._console = console or Screen(soft_wrap=True)
        self._ready: Ready | None = None
        self._recent: deque[Update] = deque(maxlen=RECENT)  # steps that speed and loss are averaged over
        self._remaining = RemainingTime()
        self._validated: Validated | None = None
        self._sampled: Sampled | None = None
        self._warned = False
        self._start = 0  # the step from which this command trains

    def follow(self, events: "Iterable[Event]") -> int:
        """Shows all events. Returns the exit code: 0, or 130 if the run was stopped."""
        if not self._console.is_terminal:
            return self._follow(events, None)
        with Live(console=self._console, refresh_per_second=4, transient=True) as live:
            return self._follow(events, live)

    def _follow(self, events: "Iterable[Event]", live: Live | None) -> int:
        code = 0
        for event in events:
            code = self._take(event) or code
            if live:
                live.update(self._panel())
        return code

    def _take(self, event: "Event") -> int:
        from liuli.learn.run import events

        self._remaining.take(event)
        if isinstance(event, events.Update):
            self._recent.append(event)
            if announcement := self._remaining.announcement():
                self._line(announcement)
            self._warn_if_late(event)
        elif isinstance(event, events.Note):
            self._line(f"{event.text} …" if self._ready is None else event.text)
        elif isinstance(event, events.Ready):
            if self._ready is None:
                self._start = event.step
            self._ready = event
            self._line(_fixed(event))
        elif isinstance(event, events.Validated):
            self._validated = event
            self._line(self._status())
        elif isinstance(event, events.Sampled):
            self._sampled = event
        elif isinstance(event, events.Finished):
            self._finish(event)
        elif isinstance(event, events.Stopped):
            self._line(f"stopped after step {event.step:,} of {event.steps:,}, saved. Resume with:\n  {self._resume}")
            return 130
        return 0

    def _line(self, text: str) -> None:
        self._console.print(Text(text))

    @property
    def _speed(self) -> float | None:
        """Tokens/s of the last steps."""
        if len(self._recent) < 2:
            return None
        first, last = self._recent[0], self._recent[-1]
        return (last.tokens - first.tokens) / (sum(update.seconds for update in self._recent) - first.seconds)

    @property
    def _loss(self) -> float:
        """Mean of the last steps, of which there is one at least."""
        return sum(update.loss for update in self._recent) / len(self._recent)

    @property
    def _step_seconds(self) -> float:
        """Mean of the last steps, of which there is one at least."""
        return sum(update.seconds for update in self._recent) / len(self._recent)

    def _share(self) -> str:
        """The share of the machine's peak that the last steps took. All tokens of a row count, supervised or not."""
        assert self._ready is not None
        recipe = self._ready.recipe
        flops = recipe["rows"] * recipe["length"] * self._ready.flops
        return f"{flops / self._step_seconds / self._ready.peak:.0%} of the machine's peak"

    def _left(self) -> float | None:
        """Seconds to the end, validations and checkpoints included."""
        return self._remaining.left()

    def _warn_if_late(self, update: "Update") -> None:
        ready, left = self._ready, self._left()
        if self._warned or ready is None or ready.seconds is None or left is None or update.step < ready.steps // 10:
            return
        ends = time.perf_counter() - self._began + left
        if ends > LATE * ready.seconds:
            self._warned = True
            self._line(f"slower than measured; expected total: {_time(ends)}")

    def _status(self) -> str:
        assert self._ready is not None and self._validated is not None
        step, found = self._validated.step, self._validated.found
        words = [f"step {step:,} of {self._ready.steps:,}"]
        if self._recent:
            words.append(f"loss {self._loss:.3f}")
        words.append(f"validation {found.nats_per_token:.3f} nats/token, {found.bits_per_byte:.3f} bits/byte")
        if speed := self._speed:
            words.append(f"{speed:,.0f} {self._unit}/s, {self._share()}")
        left = self._left()
        return ", ".join(words) + (f", {_time(left)} left" if left else "")

    def _panel(self) -> Group:
        rows: list[Text | ProgressBar] = []
        if self._ready and self._recent:
            update = self._recent[-1]
            rows.append(ProgressBar(total=self._ready.steps, completed=update.step, width=60))
            speed, left = self._speed or 0.0, self._left() or 0.0
            rows.append(Text(f"step {update.step:,} of {self._ready.steps:,}   loss {self._loss:.3f}   {_time(left)} left"))
            rows.append(Text(f"{speed:,.0f} {self._unit}/s   {self._share()}"))
        if self._sampled:
            rows.append(Text(f"sample at step {self._sampled.step:,}: {visible(self._sampled.text, b'')}"))
        return Group(*rows)

    def _finish(self, event: "Finished") -> None:
        # After a resume the steps and tokens are those of the whole run, and the time that of this command.
        since = f" since step {self._start:,}" if self._start else ""
        seconds = f"{_time(time.perf_counter() - self._began)}{since}"
        memory = f"peak memory {event.memory / 1e9:.2f} GB"
        lines = [f"done: {counted(event.step, 'step')}, {event.tokens:,} {self._unit}, {seconds}, {memory}"]
        if event.validation:
            found = event.validation
            loss = f"{found.nats_per_token:.4f} nats/token, {found.bits_per_byte:.4f} bits/byte"
            lines.append(f"validation: {loss}, over {found.tokens:,} held-out tokens; best at step {event.best_step:,}")
            if event.best_step < event.step:
                best = f"the model of that step is in {self._out / 'best' / 'model'}"
                lines.append(f"the validation loss has risen since step {event.best_step:,}; {best}")
        lines.append(f"the model is in {self._out / 'model'}; liuli runs {self._out} shows its loss curves")
        for line in lines:
            self._line(line)


def resuming(out: Path, stage: str) -> str:
    """The command that resumes a run."""
    return f"liuli {COMMANDS[stage]} --out {out} --resume"


def _fixed(ready: "Ready") -> str:
    recipe, fixed = ready.recipe, ready.fixed
    rows = f"{counted(recipe['rows'], 'sequence')} of {recipe['length']} tokens per step"
    compiled = ", compiled" if fixed["compile"] else ""
    machine = f"{fixed['device']}, {fixed['dtype']} matrix multiplications, {counted(fixed['threads'], 'thread')}{compiled}"
    start = f"from step {ready.step:,}: " if ready.step else ""
    few = f" ({ready.learned:,} trainable)" if ready.learned < ready.parameters else ""
    counts = f"{start}{counted(ready.steps, 'step')}, {ready.parameters:,} parameters{few}"
    return f"{counts}, {rows}, learning rate {recipe['rate']:g}; {machine}; {_memory(ready)}"


def _memory(ready: "Ready") -> str:
    expected = f"about {byte_size(ready.memory, 2)} of memory expected"
    return expected if ready.free is None else f"{expected}, {byte_size(ready.free, 2)} free"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
