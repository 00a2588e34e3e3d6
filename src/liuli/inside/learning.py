"""Playback of a run: what the model predicted after its tracked prompts, from step 0 to the last, next to the truth.

In: the folder of a run, with `trace.json`. The truth is known if the prompt is the beginning of a document of a world. It is
that of the run if the run was trained on the text of this world and on nothing else: the hash of the text is compared with
those that the model card names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from liuli.devices import DTYPES
from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.files import read_json
from liuli.generate.model import Model
from liuli.inside.arrays import Array, array
from liuli.inside.distributions import logits_in_chunks, logprobs_of
from liuli.inside.passage import Passage, passage
from liuli.inside.self_check import SelfCheck, largest, limit_in
from liuli.inside.tape import record
from liuli.inside.view import ModelFacts, View, ViewPart
from liuli.learn.run.folder import TRACE
from liuli.learn.run.state import file_hash
from liuli.model.plan import is_large
from liuli.tokens import Token, Tokenizer
from liuli.world.by_tokens import token_branch
from liuli.world.folder import open_folder, text_of
from liuli.world.world import END, World

WORLD = "world"  # the folder next to a run that `liuli begin` writes
CARD = "liuli.json"
LIMIT = 1e-6
LOOK_LIMIT = 5e-5  # of a probability: the same weights, computed again in fp32


@dataclass(frozen=True, slots=True)
class TruePiece(Record):
    """A piece of text that can follow a prompt in the world, and how often it does; "" for the end of the document."""

    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class TrueToken(Record):
    """A token that can be the next one in the world, and how often it is."""

    token: Token
    probability: float


@dataclass(frozen=True, slots=True)
class RunWorld(Record):
    """The world whose truth is shown.

    Attributes:
        name: its folder; if it has none, its size and seed.
        of_the_run: whether the run was trained on the text of this world, and on nothing else.
    """

    name: str
    of_the_run: bool


@dataclass(frozen=True, kw_only=True)
class TrackedPrompt(ViewPart):
    """A prompt whose next token was recorded while the model was trained.

    Attributes:
        input: the prompt.
        candidates: all tokens in `top`.
        top: the ids of the most likely next tokens at every step. top_logprobs: of them.
        tracked: tokens that were recorded at every step. tracked_logprobs: of them.
        entropy: of the whole distribution.
        truth: the pieces of text that can follow in the world, the most frequent first; empty if this is not known.
        true_tokens: the tokens that can be the next one, the most frequent first. Empty if the truth is not known, or if the
            tokenizer joins the end of the prompt with what follows, so that no token follows the prompt's own.
    """

    input: Passage
    candidates: tuple[Token, ...]
    top: Array = array("(S, C)", "token id", "i4")
    top_logprobs: Array = array("(S, C)", "nats")
    tracked: tuple[Token, ...]
    tracked_logprobs: Array = array("(S, K)", "nats")
    entropy: Array = array("(S,)", "nats")
    truth: tuple[TruePiece, ...]
    true_tokens: tuple[TrueToken, ...]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LearningView(View):
    """A run, step by step. S: the steps that were recorded.

    Attributes:
        run: its folder.
        world: whose truth the prompts have; None if there is none.
        steps, tokens: the numbers of steps and of training tokens so far.
        loss: the mean training loss since the recorded step before; NaN at step 0.
        validation: (step, validation loss in nats per token).
        prompts: those that were tracked.
    """

    NAME: ClassVar[str] = "learning"

    run: str
    world: RunWorld | None
    steps: Array = array("(S,)", "step", "i4")
    tokens: Array = array("(S,)", "token")
    loss: Array = array("(S,)", "nats per token")
    validation: tuple[tuple[int, float], ...]
    prompts: tuple[TrackedPrompt, ...]


def learning(model: Model, world: World | None = None) -> LearningView:
    """Returns the playback of the run that trained `model`.

    Args:
        model: opened from the folder of a run.
        world: whose truth is shown. Default: that in the folder `world` next to the run, if the run was trained on its text.

    Raises:
        LiuliError: the model is not in the folder of a run, or has no tokenizer; its trace is damaged, or tracked no prompt.
    """
    run = run_of(model)
    if model.tokenizer is None:
        raise LiuliError(f"{model.path} contains no tokenizer, so its prompts cannot be shown: add its tokenizer files")
    tokenizer = model.tokenizer
    shown = world or _own_world(model, run)
    trace = run / TRACE
    try:
        body = read_json(trace)["body"]
        prompts = tuple(_prompt(tokenizer, probe, shown) for probe in body["probes"])
        steps, tokens = np.array(body["steps"], np.int32), np.array(body["tokens_seen"], np.float64)
        loss = _numbers(body["loss"])
        validation = tuple((int(row["step"]), float(row["nats_per_token"])) for row in body["validation"])
        wrong = _broken(body["probes"])
        saved = {int(row["step"]): str(row["hash"]) for row in body["checkpoints"]}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise LiuliError(f"{trace} is damaged, or was written by another version of Liuli: train again") from error
    if not prompts:
        raise LiuliError(f"{run} tracked no prompt: train with --probe TEXT")
    identity = model.identity()
    is_last = saved.get(int(steps[-1])) == identity.get("adapter", identity)["hash"]
    return LearningView(
        model=ModelFacts.of(model),
        input=prompts[0].input,
        checks=(
            SelfCheck("shares_are_at_most_1", wrong, "probability", LIMIT),
            SelfCheck("truth_sums_to_1", largest(map(_truth_gap, prompts)), "probability", LIMIT),
            *((_check_last_look(model, prompts),) if is_last else ()),
        ),
        caveats=("ckpt.seed", "prob.stage"),
        run=str(run),
        world=None if shown is None else _facts(model, shown),
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


def _own_world(model: Model, run: Path) -> World | None:
    """The world next to the run, if the run was trained on its text."""
    world = open_folder(run.parent / WORLD)
    return world if world is not None and _is_of_the_run(model, world) else None


def _facts(model: Model, world: World) -> RunWorld:
    name = f"{world.size}, seed {world.seed}" if world.folder is None else str(world.folder)
    return RunWorld(name, _is_of_the_run(model, world))


def _is_of_the_run(model: Model, world: World) -> bool:
    """Whether the model card names the text of the world as the only text of the run."""
    text = text_of(world)
    files = _card(model).get("data")
    if text is None or not isinstance(files, list):
        return False
    return {file.get("sha256") for file in files if isinstance(file, dict)} == {file_hash(text)}


def _card(model: Model) -> dict[str, Any]:
    return read_json((model.adapter or model.folder) / CARD)


def _prompt(tokenizer: Tokenizer, probe: Mapping[str, Any], world: World | None) -> TrackedPrompt:
    text, ids = str(probe["input"]["text"]), list(probe["input"]["ids"])
    tokens = tokenizer.tokens(text, prompt=True)
    if [token.id for token in tokens] != ids:
        tokens = [tokenizer.token(token_id) for token_id in ids]
    top = [[each["token"]["id"] for each in look] for look in probe["top"]]
    pieces, true_tokens = ((), ()) if world is None else _truth(world, tokenizer, text, ids)
    return TrackedPrompt(
        input=passage(text, tokens),
        candidates=tuple(map(tokenizer.token, sorted({token_id for look in top for token_id in look}))),
        top=np.array(top, np.int32),
        top_logprobs=np.stack([_numbers([each["logprob"] for each in look]) for look in probe["top"]]),
        tracked=tuple(tokenizer.token(each["id"]) for each in probe["tracked"]),
        tracked_logprobs=np.stack([_numbers(look) for look in probe["logprob"]]),
        entropy=_numbers(probe["entropy"]),
        truth=pieces,
        true_tokens=true_tokens,
    )


def _truth(
    world: World, tokenizer: Tokenizer, text: str, ids: list[int]
) -> tuple[tuple[TruePiece, ...], tuple[TrueToken, ...]]:
    """What can follow in pieces and in tokens, the most frequent first. Nothing if no document begins like this, or if the
    model read the prompt in another form, such as that of a chat."""
    try:
        branch = token_branch(world, tokenizer, text)
    except LiuliError:
        return (), ()
    if ids != [*tokenizer.begin, *branch.ids]:
        return (), ()
    pieces = sorted(branch.pieces.items(), key=lambda each: -each[1])
    tokens = sorted((branch.tokens or {}).items(), key=lambda each: -each[1])
    return (
        tuple(TruePiece(piece.removesuffix(END), share) for piece, share in pieces),
        tuple(TrueToken(tokenizer.token(token_id), share) for token_id, share in tokens),
    )


def _truth_gap(prompt: TrackedPrompt) -> float:
    """How far the true probabilities of the next tokens are from a sum of 1; 0 if they are not known."""
    return abs(sum(each.probability for each in prompt.true_tokens) - 1) if prompt.true_tokens else 0.0


def _check_last_look(model: Model, prompts: Sequence[TrackedPrompt]) -> SelfCheck:
    """The predictions that were recorded last, computed again with the weights that were saved at that step."""
    gaps: list[float] = []
    for prompt in prompts:
        states_TD, _ = record(model.decoder, prompt.input.ids)
        logprobs_V = logprobs_of(next(logits_in_chunks(model.decoder, states_TD[-1:])))[0].numpy()
        recorded = np.nan_to_num(np.exp(prompt.top_logprobs[-1]))  # NaN: probability 0
        gaps.append(float(np.abs(np.exp(logprobs_V[prompt.top[-1]]) - recorded).max(initial=0)))
    limit = limit_in(min(model.decoder.dtype, _recorded_in(model), key=lambda dtype: dtype.itemsize), LOOK_LIMIT)
    return SelfCheck("last_look_equals_the_model", largest(gaps), "probability", limit)


def _recorded_in(model: Model) -> torch.dtype:
    """The dtype in which the run computed its recorded predictions: of a small model fp32, of a large one that of its training
    (`multiply_in` in `learn/prepare/model.py`)."""
    fixed = _card(model).get("fixed")
    if not is_large(model.config) or not isinstance(fixed, dict):
        return torch.float32
    return DTYPES.get(str(fixed.get("dtype")), torch.float32)


def _numbers(values: Sequence[float | None]) -> Array:
    """fp32; null, which stands for probability 0 or for "not known", becomes NaN."""
    return np.array([np.nan if value is None else value for value in values], np.float32)


def _broken(probes: Sequence[Mapping[str, Any]]) -> float:
    """How far the listed probabilities of a step exceed 1 together."""
    looks = [look for probe in probes for look in probe["top"]]
    sums = [sum(np.exp(each["logprob"]) for each in look if each["logprob"] is not None) for look in looks]
    return largest(max(0.0, total - 1) for total in sums)
