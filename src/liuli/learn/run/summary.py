"""A summary of a run, read from the JSON files in its folder; weights are not read, and nothing is written.

The run may be training at the same time, or have been stopped at any moment: what does not exist yet is None or empty.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.files import read_json
from liuli.learn.run.folder import CHECKPOINTS, METRICS, SETTINGS, TRACE, checkpoints, in_use, read_metrics, read_settings
from liuli.tokens import Token


@dataclass(frozen=True, slots=True)
class ValidationLoss(Record):
    """The validation loss after a step."""

    step: int
    nats_per_token: float
    bits_per_byte: float


@dataclass(slots=True)
class Curves(Record):
    """What a run logged.

    Attributes:
        training: (step, nats per token) of every step. validation: in order too.
        tokens: trained on so far. seconds: that the steps took, without validations and checkpoints.
    """

    training: list[tuple[int, float]] = field(default_factory=list)
    validation: list[ValidationLoss] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0

    @property
    def step(self) -> int:
        return self.training[-1][0] if self.training else 0


@dataclass(frozen=True, slots=True)
class Summary(Record):
    """A run.

    Attributes:
        state: running (a process trains there), finished, stopped, or "no checkpoint" (stopped before its first one).
        step: logged last. steps: of the whole run. checkpoints: steps that are saved.
        last, best: validations. tokens: trained on. seconds: that the steps took.
        written: time of the last change, in seconds since 1970.
        size: a preset's name. data: name and bytes of each file. held_out: how the text to validate on was chosen.
        recipe, machine: settings by name. inexact: the steps from which it was resumed inexactly.
        mixed: whether an assistant is trained on text too, so that its training loss is over both, and its validation loss over
            dialogues alone.
    """

    path: str
    state: str
    step: int
    steps: int | None
    checkpoints: list[int]
    last: ValidationLoss | None
    best: ValidationLoss | None
    tokens: int
    seconds: float
    written: float
    command: list[str]
    stage: str
    parent: str | None
    size: str | None
    parameters: int | None
    tokenizer: dict[str, Any]
    data: list[dict[str, Any]]
    held_out: str | None
    recipe: dict[str, Any]
    machine: dict[str, Any]
    inexact: list[int]
    mixed: bool


@dataclass(frozen=True, slots=True)
class PlaybackStep:
    """The most likely next tokens after a step, the most likely first, each with its probability."""

    step: int
    top: list[tuple[Token, float]]


@dataclass(frozen=True, slots=True)
class WatchedPrompt:
    """A prompt whose next token was tracked."""

    text: str
    looks: list[PlaybackStep]


def summarise(folder: Path) -> tuple[Summary, Curves]:
    """The run in `folder`.

    Raises:
        LiuliError: there is none; a file of it is broken.
    """
    running = in_use(folder)  # asked first: a run that ends meanwhile is then shown as running, not as stopped
    settings = read_settings(folder)
    if settings is None:
        raise LiuliError(f"there is no run in {folder}; give the folder of a run")
    curves, saved, watched = read_curves(folder), checkpoints(folder), read_json(folder / TRACE)
    card = _read_card(folder / CHECKPOINTS / str(saved[-1]) / "model" / "liuli.json") if saved else _of_card({})
    with _as_written(folder / TRACE):
        model, tokenizer = dict(watched.get("model", {})), dict(watched.get("tokenizer", {}))
    saved_all = bool(saved) and saved[-1] == card["steps"]
    return Summary(
        path=str(folder),
        state="running" if running else "finished" if saved_all else "stopped" if saved else "no checkpoint",
        step=curves.step,
        checkpoints=saved,
        last=curves.validation[-1] if curves.validation else None,
        best=min(curves.validation, key=lambda loss: loss.nats_per_token, default=None),
        tokens=curves.tokens,
        seconds=curves.seconds,
        written=_written(folder),
        command=[str(word) for word in settings["command"]],
        stage=settings["stage"],
        size=model.get("size"),
        parameters=model.get("parameters"),
        tokenizer=tokenizer,
        mixed=settings["job"].get("mix") is not None,
        **card,
    ), curves


def _read_card(path: Path) -> dict[str, Any]:
    with _as_written(path):
        return _of_card(read_json(path))


def _of_card(card: dict[str, Any]) -> dict[str, Any]:
    """What the model card of a checkpoint says about its run."""
    return {
        "steps": card.get("steps"),
        "parent": card.get("parent"),
        "data": [{"name": str(file["name"]), "bytes": int(file["bytes"])} for file in card.get("data", ())],
        "held_out": card.get("validation"),
        "recipe": dict(card.get("recipe", {})),
        "machine": dict(card.get("fixed", {})),
        "inexact": [int(each["step"]) for each in card.get("inexact", ())],
    }


def read_curves(folder: Path) -> Curves:
    """Raises:
    LiuliError: a line of the metrics is not what a run logs.
    """
    curves = Curves()
    with _as_written(folder / METRICS):
        for row in read_metrics(folder):
            if "loss" in row:
                curves.training.append((row["step"], float(row["loss"])))
                curves.tokens, curves.seconds = int(row["tokens"]), curves.seconds + float(row["seconds"])
            if "validation" in row:
                found = row["validation"]
                curves.validation.append(
                    ValidationLoss(row["step"], float(found["nats_per_token"]), float(found["bits_per_byte"]))
                )
    return curves


def read_trace(folder: Path) -> list[WatchedPrompt]:
    """The predictions of a run after the prompts that it tracks; empty if there is no trace.

    Raises:
        LiuliError: the trace is broken.
    """
    with _as_written(folder / TRACE):
        body = read_json(folder / TRACE).get("body", {"probes": []})
        return [_watched(probe, body["steps"]) for probe in body["probes"]]


def _watched(probe: dict[str, Any], steps: list[int]) -> WatchedPrompt:
    looks = [
        PlaybackStep(int(step), [(_token(each["token"]), math.exp(each["logprob"])) for each in top])
        for step, top in zip(steps, probe["top"], strict=True)
    ]
    return WatchedPrompt(str(probe["input"]["text"]), looks)


def _token(body: dict[str, Any]) -> Token:
    return Token(body["id"], str(body["text"]), bytes(body["bytes"]))


def _written(folder: Path) -> float:
    files = (folder / name for name in (SETTINGS, METRICS, TRACE))
    return max(path.stat().st_mtime for path in files if path.exists())


@contextmanager
def _as_written(path: Path) -> Iterator[None]:
    """Turns the errors of unexpected content into one that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        missing = f' (the field "{error.args[0]}" is missing)' if isinstance(error, KeyError) else ""
        raise LiuliError(
            f"{path} has unexpected content{missing}: it was edited, or written by another version of Liuli; restore it, or "
            f"use that version"
        ) from None
