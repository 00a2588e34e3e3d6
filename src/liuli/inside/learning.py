"""Playback of a run: what the model predicted after its tracked prompts, from step 0 to the last, next to the truth.

In: the folder of a run, with `trace.json`. The truth is known if the prompt is the beginning of a document of a world.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.files import read_json
from liuli.generate.model import Model
from liuli.inside.arrays import Array, array
from liuli.inside.passage import Passage, passage
from liuli.inside.self_check import SelfCheck, largest
from liuli.inside.view import ModelFacts, View, ViewPart
from liuli.learn.run.folder import TRACE
from liuli.tokens import Token, Tokenizer
from liuli.world.folder import open_folder
from liuli.world.world import World

WORLD = "world"  # the folder next to a run that `liuli begin` writes
LIMIT = 1e-6


@dataclass(frozen=True, slots=True)
class TruePiece(Record):
    """What can follow a prompt in the world, and how often it does."""

    text: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class TrackedPrompt(ViewPart):
    """A prompt whose next token was recorded while the model was trained.

    Attributes:
        input: the prompt.
        candidates: all tokens in `top`.
        top: the ids of the most likely next tokens at every step. top_logprobs: of them.
        entropy: of the whole distribution.
        truth: what can follow, the most frequent first; empty if it is not known.
    """

    input: Passage
    candidates: tuple[Token, ...]
    top: Array = array("(S, C)", "token id", "i4")
    top_logprobs: Array = array("(S, C)", "nats")
    entropy: Array = array("(S,)", "nats")
    truth: tuple[TruePiece, ...]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LearningView(View):
    """A run, step by step. S: the steps that were recorded.

    Attributes:
        run: its folder.
        steps, tokens: the numbers of steps and of training tokens so far.
        loss: the mean training loss since the recorded step before; NaN at step 0.
        validation: (step, validation loss in nats per token).
        prompts: those that were tracked.
    """

    NAME: ClassVar[str] = "learning"

    run: str
    steps: Array = array("(S,)", "step", "i4")
    tokens: Array = array("(S,)", "token")
    loss: Array = array("(S,)", "nats per token")
    validation: tuple[tuple[int, float], ...]
    prompts: tuple[TrackedPrompt, ...]


def learning(model: Model, world: World | None = None) -> LearningView:
    """Returns the playback of the run that trained `model`.

    Args:
        model: opened from the folder of a run.
        world: whose truth is shown. Default: that in the folder `world` next to the run, if there is one.

    Raises:
        LiuliError: the model is not in the folder of a run, or has no tokenizer; its trace is damaged, or tracked no prompt.
    """
    run = run_of(model)
    if model.tokenizer is None:
        raise LiuliError(f"{model.path} contains no tokenizer, so its prompts cannot be shown: add its tokenizer files")
    tokenizer = model.tokenizer
    world = world or open_folder(run.parent / WORLD)
    trace = run / TRACE
    try:
        body = read_json(trace)["body"]
        prompts = tuple(_prompt(tokenizer, probe, world) for probe in body["probes"])
        steps, tokens = np.array(body["steps"], np.int32), np.array(body["tokens_seen"], np.float64)
        loss = _numbers(body["loss"])
        validation = tuple((int(row["step"]), float(row["nats_per_token"])) for row in body["validation"])
        wrong = _broken(body["probes"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise LiuliError(f"{trace} is damaged, or was written by another version of Liuli: train again") from error
    if not prompts:
        raise LiuliError(f"{run} tracked no prompt: train with --probe TEXT")
    return LearningView(
        model=ModelFacts.of(model),
        input=prompts[0].input,
        checks=(SelfCheck("shares_are_at_most_1", wrong, "probability", LIMIT),),
        caveats=("ckpt.seed", "prob.stage"),
        run=str(run),
        steps=steps,
        tokens=tokens,
        loss=loss,
        validation=validation,
        prompts=prompts,
    )


def run_of(model: Model) -> Path:
    """The folder of the run that trained a model.

    Raises:
        LiuliError: it was not opened from a run.
    """
    folder = (model.adapter or model.folder).resolve()
    for place in (folder, *folder.parents):
        if (place / TRACE).is_file():
            return place
    raise LiuliError(f"{model.path} is not in the folder of a run, so there is no record of its training: give a run's folder")


def _prompt(tokenizer: Tokenizer, probe: Mapping[str, Any], world: World | None) -> TrackedPrompt:
    text = str(probe["input"]["text"])
    tokens = tokenizer.tokens(text, prompt=True)
    if [token.id for token in tokens] != list(probe["input"]["ids"]):
        tokens = [tokenizer.token(token_id) for token_id in probe["input"]["ids"]]
    top = [[each["token"]["id"] for each in look] for look in probe["top"]]
    return TrackedPrompt(
        input=passage(text, tokens),
        candidates=tuple(map(tokenizer.token, sorted({token_id for look in top for token_id in look}))),
        top=np.array(top, np.int32),
        top_logprobs=np.stack([_numbers([each["logprob"] for each in look]) for look in probe["top"]]),
        entropy=_numbers(probe["entropy"]),
        truth=() if world is None else _truth(world, text),
    )


def _truth(world: World, text: str) -> tuple[TruePiece, ...]:
    """What can follow, the most frequent first; nothing if no document begins like this."""
    try:
        pieces = world.next_pieces(text)
    except LiuliError:
        return ()
    return tuple(TruePiece(text, share) for text, share in sorted(pieces.items(), key=lambda each: -each[1]))


def _numbers(values: Sequence[float | None]) -> Array:
    """fp32; null, which stands for probability 0 or for "not known", becomes NaN."""
    return np.array([np.nan if value is None else value for value in values], np.float32)


def _broken(probes: Sequence[Mapping[str, Any]]) -> float:
    """How far the listed probabilities of a step exceed 1 together."""
    looks = [look for probe in probes for look in probe["top"]]
    sums = [sum(np.exp(each["logprob"]) for each in look if each["logprob"] is not None) for look in looks]
    return largest(max(0.0, total - 1) for total in sums)
