"""What a person sees of a run: a line at each validation, and on a terminal a live panel below them."""

import os
import shlex
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from liuli.cli.output import Screen
from liuli.cli.remaining_time import RECENT, RemainingTime
from liuli.cli.wording import duration
from liuli.display import printable, visible
from liuli.units import byte_size, counted

if TYPE_CHECKING:
    from liuli.learn.run.events import Event, Finished, Ready, Sampled, Update, Validated

COMMANDS = {"base": "train", "assistant": "finetune"}  # by stage
LATE = 1.1  # times the budget
LONGEST_BAR = 100  # columns
MUCH = 0.2  # of a budget of time: if preparation took more, the summary says so
MIXED = "the training loss is over dialogues and text; the validation loss is over held-out dialogues alone"


class Progress:
    """Follows the events of a run.

    Args:
        out: the run's folder. began: `time.perf_counter()` when the command began. resume: the command that resumes the run.
        unit: what the run counts: "tokens", or "supervised tokens".
    """

    def __init__(self, out: Path, began: float, resume: str, console: Screen | None = None, unit: str = "tokens"):
        self._out, self._began, self._resume, self._unit = out, began, resume, unit
        self._console = console or Screen()
        self._ready: Ready | None = None
        self._recent: deque[Update] = deque(maxlen=RECENT)  # steps that speed and loss are averaged over
        self._remaining = RemainingTime()
        self._validated: Validated | None = None
        self._sampled: Sampled | None = None
        self._warned = False
        self._preparing = Preparing(began)
        self._start: Ready | None = None  # when this command began to train
        self._prepared = 0.0  # seconds until then

    def follow(self, events: "Iterable[Event]") -> int:
        """Shows all events. Returns the exit code: 0, or 130 if the run was stopped."""
        if not self._console.is_terminal:
            return self._follow(events, None)
        with Live(self._panel(), console=self._console, refresh_per_second=4, transient=True) as live:
            return self._follow(events, live)

    def reading(self, name: str, place: int, size: int) -> None:
        """`place` bytes of `size` have been read of the file of that name. It is shown until the first step."""
        read = f"{byte_size(place)} of {byte_size(size)}" if size else byte_size(place)
        self._preparing.amount = f"{printable(name.rpartition('/')[2])}, {read}"

    def counting(self, what: str, done: int, total: int) -> None:
        """`done` of `total` things are made: what `liuli begin` does before a run. It is shown until the first step."""
        self._preparing.amount = f"{done:,} of {total:,} {what}"

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
            if correction := self._remaining.correction():
                self._line(correction)
            self._warn_if_late(event)
        elif isinstance(event, events.Note):
            self._line(event.text)
        elif isinstance(event, events.Doing):
            self._preparing.begin(event.text)
            self._line(f"{event.text} …")
        elif isinstance(event, events.Ready):
            self._take_ready(event)
        elif isinstance(event, events.Validated):
            self._validated = event
            self._line(self._status())
        elif isinstance(event, events.Sampled):
            self._sampled = event
        elif isinstance(event, events.Finished):
            self._finish(event)
        elif isinstance(event, events.Stopped):
            self._line(f"stopped after step {event.step:,} of {event.steps:,}, saved. Resume with:")
            self._console.print_command(f"  {self._resume}")
            return 130
        return 0

    def _take_ready(self, event: "Ready") -> None:
        if self._start is None:
            self._start, self._prepared = event, time.perf_counter() - self._began
        self._ready = event
        self._line(_fixed(event))
        if event.mixed:
            self._line(MIXED)
        if estimate := self._remaining.estimate():
            self._line(estimate)
        self._preparing.begin("validating before the first step" if event.step == 0 else "training the first step")

    def _line(self, text: str) -> None:
        self._console.print_text(text)

    def _speed(self) -> str | None:
        """Tokens/s of the last steps, and which share of the machine's peak that is; None if there are too few steps. Both
        count all tokens that are read; if not all are supervised, the speed of those is added."""
        if len(self._recent) < 2:
            return None
        assert self._ready is not None
        recipe, seconds = self._ready.recipe, self._step_seconds
        read = recipe["rows"] * recipe["length"] / seconds
        first, last = self._recent[0], self._recent[-1]
        supervised = (last.tokens - first.tokens) / (sum(update.seconds for update in self._recent) - first.seconds)
        some = "" if self._unit == "tokens" else f" ({supervised:,.0f} supervised)"
        return f"{read:,.0f} tokens/s{some}, {read * self._ready.flops / self._ready.peak:.0%} of the machine's peak"

    @property
    def _loss(self) -> float:
        """Mean of the last steps, of which there is one at least."""
        return sum(update.loss for update in self._recent) / len(self._recent)

    @property
    def _step_seconds(self) -> float:
        """Mean of the last steps, of which there is one at least."""
        return sum(update.seconds for update in self._recent) / len(self._recent)

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
            self._line(f"slower than measured; expected total: {duration(ends)}")

    def _status(self) -> str:
        assert self._ready is not None and self._validated is not None
        step, found = self._validated.step, self._validated.found
        words = [f"step {step:,} of {self._ready.steps:,}"]
        if self._recent:
            words.append(f"loss {self._loss:.3f}")
        words.append(f"validation {found.nats_per_token:.3f} nats/token, {found.bits_per_byte:.3f} bits/byte")
        if speed := self._speed():
            words.append(speed)
        left = self._left()
        return ", ".join(words) + (f", {duration(left)} left" if left else "")

    def _panel(self) -> Table:
        rows: list[Text | ProgressBar | Preparing] = []
        if not self._recent:
            rows.append(self._preparing)
        elif self._ready:
            update, left = self._recent[-1], self._left() or 0.0
            width = min(LONGEST_BAR, self._console.width)
            rows.append(ProgressBar(total=self._ready.steps, completed=update.step, width=width))
            rows.append(_row(f"step {update.step:,} of {self._ready.steps:,}   loss {self._loss:.3f}   {duration(left)} left"))
            if speed := self._speed():
                rows.append(_row(speed))
        if self._sampled:
            rows.append(_row(f"sample at step {self._sampled.step:,}: {visible(self._sampled.text, b'')}"))
        lines = Table.grid()
        for row in rows:
            lines.add_row(row)
        return lines

    def _finish(self, event: "Finished") -> None:
        seconds = time.perf_counter() - self._began
        took = duration(seconds)
        memory = f"peak memory {event.memory / 1e9:.2f} GB"
        done = f"done: {counted(event.step, 'step')}, {event.tokens:,} {self._unit}"
        if self._start is not None and self._start.step:
            steps, tokens = event.step - self._start.step, event.tokens - self._start.tokens
            here = f"{counted(steps, 'step')}, {tokens:,} {self._unit}, {took}, {memory}"
            lines = [f"{done} in all", f"since the resume after step {self._start.step:,}: {here}"]
        else:
            lines = [f"{done}, {took}, {memory}"]
        budget = self._ready and self._ready.seconds
        if budget and self._prepared > MUCH * budget:
            asked = f"{duration(self._prepared)} of the budget of {duration(budget)}"
            lines.append(f"preparation took {asked}: more --minutes leave a larger share for training")
        parent = _parent_of_adapter(self._out)
        what = "model" if parent is None else "adapter"
        if event.validation:
            found = event.validation
            loss = f"{found.nats_per_token:.4f} nats/token, {found.bits_per_byte:.4f} bits/byte"
            over = f"over {counted(found.tokens, 'held-out token')}"
            lines.append(f"validation: {loss}, {over}; best at step {event.best_step:,}")
            if event.best_step < event.step:
                best = f"the {what} of that step is in {self._out / 'best' / 'model'}"
                lines.append(f"the validation loss has risen since step {event.best_step:,}; {best}")
        lines.append(f"the {what} is in {self._out / 'model'}; liuli runs {self._out} shows its loss curves")
        for line in lines:
            self._line(line)
        if parent is not None:
            self._line("an adapter is not a model by itself: use it with the model that it was trained for, such as")
            self._console.print_command(f"  liuli chat {shlex.quote(_short(parent))} --adapter {shlex.quote(str(self._out))}")


def _row(text: str) -> Text:
    """A row of the panel, wrapped where it does not fit, whatever the console's own setting is."""
    return Text(text, no_wrap=False, overflow="fold")


class Preparing:
    """What is shown until the first step has been taken. It is drawn anew several times per second, so it moves by itself.

    Attributes:
        amount: how much of the work is done, such as the file that is being read and the place in it; "" if it is not known.
    """

    def __init__(self, began: float):
        self.amount = ""
        self._what, self._began = "preparing", began
        self._spinner = Spinner("dots")

    def begin(self, what: str) -> None:
        """From now on `what` is done."""
        self._what, self.amount = what, ""

    def __rich__(self) -> Spinner:
        parts = (self._what, duration(time.perf_counter() - self._began), self.amount)
        self._spinner.update(text=Text("   ".join(filter(None, parts))))
        return self._spinner


def resuming(out: Path, stage: str) -> str:
    """The command that resumes a run."""
    return f"liuli {COMMANDS[stage]} --out {out} --resume"


def _parent_of_adapter(out: Path) -> str | None:
    """The model that the adapter in a run's folder belongs to; None if the run trains a whole model."""
    from liuli.learn.run.folder import read_settings

    job = (read_settings(out) or {"job": {}})["job"]
    return job.get("parent") if job.get("lora") is not None else None


def _short(path: str) -> str:
    """A path from the current folder, if it is shorter so; another name as it is."""
    return min(path, os.path.relpath(path), key=len) if os.path.isabs(path) else path


def _fixed(ready: "Ready") -> str:
    recipe, fixed = ready.recipe, ready.fixed
    rows = f"{counted(recipe['rows'], 'sequence')} of {counted(recipe['length'], 'token')} per step"
    compiled = ", compiled" if fixed["compile"] else ""
    machine = f"{fixed['device']}, {fixed['dtype']} matrix multiplications, {counted(fixed['threads'], 'thread')}{compiled}"
    start = f"from step {ready.step:,}: " if ready.step else ""
    few = f" ({ready.learned:,} trainable)" if ready.learned < ready.parameters else ""
    counts = f"{start}{counted(ready.steps, 'step')}, {ready.parameters:,} parameters{few}"
    return f"{counts}, {rows}, learning rate {recipe['rate']:g}; {machine}; {_memory(ready)}"


def _memory(ready: "Ready") -> str:
    expected = f"about {byte_size(ready.memory, 2)} of memory expected"
    return expected if ready.free is None else f"{expected}, {byte_size(ready.free, 2)} free"
