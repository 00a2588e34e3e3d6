"""What a run reports and saves while it trains: metrics, validation, predictions, samples, checkpoints, the model card."""

import json
import math
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from liuli.display import why
from liuli.errors import LiuliError
from liuli.evaluate.loss import Evaluation, Exam
from liuli.files import read_json, sync_tree
from liuli.learn.run.events import Event, Finished, Note, Sampled, Saved, Update, Validated
from liuli.learn.run.folder import TRACE, Run, read_metrics
from liuli.learn.run.guard import GotWorse, limit
from liuli.learn.run.sampler import Sampler
from liuli.learn.run.state import State, write_state
from liuli.learn.run.trace import Trace
from liuli.learn.step.finite import NotFinite
from liuli.learn.step.loop import Training
from liuli.model.decoder import Decoder

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True, slots=True)
class Beginning:
    """Results for step 0 that were computed while the speed was measured, and how long each part took, in seconds.

    Attributes:
        sample: its seed and text.
        validation, keep, look: seconds of a validation, of a sample with a checkpoint, and of a look at the watched prompts.
    """

    evaluation: Evaluation
    sample: tuple[int, str]
    validation: float
    keep: float
    look: float


@dataclass
class Journal:
    """Records what a training does, and saves it in the run's folder.

    Attributes:
        run: the folder. write_model: writes the decoder to a folder and returns its hash.
        add_tokenizer: adds to a model's folder the tokenizer and the default settings of generation.
        sampler: writes the sample of each validation. exam: the validation data. trace: the predictions during training.
        every: steps from one validation, sample and checkpoint to the next. keep: checkpoints kept before the last.
        facts: what was fixed at the start, for the state. card: the same for people, `liuli.json`.
        best: the lowest validation loss so far, in nats per token, and its step. first: the one before the first step.
        last: the latest validation. beginning: results for step 0, if they are computed already.
    """

    run: Run
    write_model: Callable[[Decoder, Path], str]
    add_tokenizer: Callable[[Path], None]
    sampler: Sampler
    exam: Exam
    trace: Trace
    every: int
    keep: int
    facts: dict[str, Any]
    card: dict[str, Any]
    best: tuple[float, int] | None = None
    first: float | None = None
    last: Evaluation | None = None
    beginning: Beginning | None = None
    _board: "SummaryWriter | None" = None

    @property
    def begun(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        return bool(self.run.checkpoints())

    def record(self, training: Training, update: Update | None) -> Iterator[Event]:
        """After each step, and at step 0 before the first."""
        step = training.step
        with self._writing():
            if update is not None:
                self._tell(update)
            due = step % self.every == 0 or step == training.steps
            if self.trace.due(step) or due:
                training.check_weights()
                self._look(training, update)
                if not due:
                    self.trace.write(self.run.folder / TRACE)
            if due:
                yield self._validate(training)
                self._check_progress(training)
                yield self._sample(training)
                yield from self.save(training)

    def save(self, training: Training) -> Iterator[Event]:
        """Saves a checkpoint now.

        Raises:
            NotFinite: a weight is not finite.
        """
        training.check_weights()
        step = training.step
        with self._writing():
            best = self.best and self.best[1]
            self.trace.write(self.run.folder / TRACE)
            self.run.save(step, lambda part: self._write(part, training), best, self.keep)
            self.trace.write(self.run.folder / TRACE)  # again: it names the checkpoint and its hash now
            if self._board:
                self._board.flush()
        yield Saved(step, self.run.checkpoint(step))

    def rehearse(self, training: Training) -> Beginning:
        """Runs and times one validation, sample, checkpoint and look at the watched prompts. The files are removed."""
        scratch = self.run.folder / "rehearsal"
        times = [time.perf_counter()]
        self.last = self.exam(training.decoder)
        times.append(time.perf_counter())
        sample = self.sampler.sample(training.decoder, 0)
        with self._writing():
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            self._write(scratch, training)
            sync_tree(scratch)
            shutil.rmtree(scratch)
        times.append(time.perf_counter())
        self.trace.look(training.decoder, 0, 0, 0.0, None)
        times.append(time.perf_counter())
        return Beginning(self.last, sample, *(after - before for before, after in pairwise(times)))

    def resume(self, training: Training, best: dict[str, Any] | None) -> Iterator[Event]:
        """Restores what the run recorded up to the step of `training`, and removes what it recorded later."""
        step = training.step
        self.best = (best["nats_per_token"], best["step"]) if best else None
        rows = [row for row in read_metrics(self.run.folder) if row["step"] <= step]
        validations = [row["validation"] for row in rows if "validation" in row]
        if validations and rows[0]["step"] == 0:
            self.first = validations[0]["nats_per_token"]
        if validations:
            self.last = Evaluation(**{name: validations[-1][name] for name in Evaluation.__dataclass_fields__})
        try:
            self.trace.resume(self.run.folder / TRACE, step, [row for row in rows if "loss" in row])
        except LiuliError as error:  # training does not depend on it
            kept = self.run.set_aside(TRACE)
            self._look(training, None)
            old_file = f"; the old file is kept as {kept}" if kept else ""
            yield Note(f"{error}; recording of the predictions starts again at step {step}{old_file}")
        card = read_json(self.run.checkpoint(step) / "model" / "liuli.json")
        if step not in self.trace.saved_steps:
            self.trace.saved(step, card["hash"])
        with self._writing():
            self.run.rewind(step)
            self.run.settle(self.best and self.best[1], self.keep)
            self.trace.write(self.run.folder / TRACE)

    def finished(self, training: Training) -> Iterator[Event]:
        if self._board:
            with self._writing():
                self._board.close()
        assert self.best is not None
        if self.last and self.first is not None and self.last.nats_per_token > self.first:
            losses = f"{self.last.nats_per_token:.3f} nats per token, {self.first:.3f} before training"
            yield Note(f"the model is now worse on held-out data ({losses}): use a smaller --lr, or other training data")
        yield Finished(training.step, training.tokens, self.best[1], self.last, peak_memory())

    def last_good(self) -> str:
        steps = self.run.checkpoints()
        return f"The last good checkpoint is {self.run.checkpoint(steps[-1])}" if steps else "There is no checkpoint yet"

    def _tell(self, update: Update) -> None:
        self.run.log(update.to_json())
        self.trace.heard(update.loss, update.seconds)
        for name in ("loss", "gradient_norm", "strength"):
            self._chart(f"training/{name}", getattr(update, name), update.step)
        for name, value in update.metrics.items():
            self._chart(f"training/{name}", value, update.step)

    def _look(self, training: Training, update: Update | None) -> None:
        norm, strength = (update.gradient_norm, update.strength) if update else (None, 0.0)
        with training.average.shown():
            self.trace.look(training.decoder, training.step, training.tokens, strength, norm)

    def _validate(self, training: Training) -> Validated:
        step = training.step
        if step == 0 and self.beginning is not None:
            found = self.beginning.evaluation
        else:
            with training.average.shown():
                found = self.exam(training.decoder)
        if not math.isfinite(found.nats):
            raise NotFinite(f"the loss on held-out text is {found.nats:.4g} after step {step}; the model is not saved")
        better = self.best is None or found.nats_per_token < self.best[0]
        if better:
            self.best = found.nats_per_token, step
        self.last = found
        self.run.log({"step": step, "validation": found.to_json()})
        self.trace.validated(step, found)
        self._chart("validation/bits_per_byte", found.bits_per_byte, step)
        self._chart("validation/nats_per_token", found.nats_per_token, step)
        return Validated(step, found, better)

    def _check_progress(self, training: Training) -> None:
        """Raises GotWorse: held-out loss is clearly higher than before the first step; this step is not saved."""
        assert self.last is not None and self.best is not None
        step, loss = training.step, self.last.nats_per_token
        if step == 0:
            self.first = loss
        elif self.first is not None and loss > limit(self.first, step / training.steps):
            raise GotWorse(step, loss, self.first, self.best[1], training.recipe.rate)

    def _sample(self, training: Training) -> Sampled:
        step = training.step
        if step == 0 and self.beginning is not None:
            seed, text = self.beginning.sample
        else:
            with training.average.shown():
                seed, text = self.sampler.sample(training.decoder, step)
        self.trace.sampled(step, seed, self.sampler.prompt.text, text)
        return Sampled(step, self.sampler.prompt.text, text)

    def _write(self, part: Path, training: Training) -> None:
        state = training.state()
        best = {"nats_per_token": self.best[0], "step": self.best[1]} if self.best else None
        facts = self.facts | state.facts | {"best": best}
        try:
            write_state(part, State(facts, state.tensors), lambda folder: self._write_model(folder, training))
        except (LiuliError, SafetensorError) as error:  # which report errors of the disk too
            raise OSError(str(error)) from None

    def _write_model(self, folder: Path, training: Training) -> None:
        with training.average.shown():
            model_hash = self.write_model(training.decoder, folder)
        self.add_tokenizer(folder)
        metrics = {"validation": self.last.to_json()} if self.last else {}
        card = {
            **self.card,
            **self.facts,
            "step": training.step,
            "tokens_seen": training.tokens,
            "metrics": metrics,
            "hash": model_hash,
        }
        (folder / "liuli.json").write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        self.trace.saved(training.step, model_hash)

    def _chart(self, name: str, value: float, step: int) -> None:
        """For TensorBoard, if it is installed: the same numbers as in the metrics."""
        if self._board is None:
            if not has_tensorboard():
                return
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.run.folder / "tensorboard"), purge_step=step)
        self._board.add_scalar(name, value, step)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LiuliError(
                f"{error.filename or self.run.folder} cannot be written: {why(error)}; training stopped. {self.last_good()}; "
                f"free some disk space, then resume with --resume"
            ) from None


@cache
def has_tensorboard() -> bool:
    """Whether the `tensorboard` extra is installed."""
    return find_spec("tensorboard") is not None


def peak_memory() -> int:
    """The most memory that this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
