"""One step of learning on one text: the loss at every token, which weights move and by how much, and what the model predicts
before and after.

The step is plain gradient descent, w − η g, and short: a longer step can make a large model worse. The model is unchanged
afterwards. All weights take part, also those under an adapter, which training would leave as they are.

Legend of shape suffixes: T tokens, P positions with a next token (T − 1), D width, V vocabulary.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.fields import Record, is_positive
from liuli.generate.model import Model
from liuli.inside.arrays import Array, array
from liuli.inside.distributions import logits_in_chunks, logprobs_of, summarise_states
from liuli.inside.passage import Passage, read_passage
from liuli.inside.self_check import SelfCheck
from liuli.inside.tape import record
from liuli.inside.view import ModelFacts, View
from liuli.model.decoder import Decoder
from liuli.model.logprobs import summed_nats
from liuli.tokens import Token

PROMISED = 0.5  # how much of the loss the step would remove, if the loss were not curved
LONGEST = 1e-3  # the longest step, as a share of the length of all weights
CANDIDATES = 5
LIMIT = 1e-4  # nats per token


@dataclass(frozen=True, slots=True)
class WeightMove(Record):
    """A weight tensor in the step.

    Attributes:
        name: in the decoder. shape: its shape. layer: the number of its block; None outside the blocks.
        gradient: the length (Euclidean norm) of its gradient. change: the length of its step. size: of the tensor itself.
        share: of the squared length of the whole step that is in this tensor.
    """

    name: str
    shape: tuple[int, ...]
    layer: int | None
    gradient: float
    change: float
    size: float
    share: float


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GradientView(View):
    """One step on one text.

    Attributes:
        move: the length of the step as a share of that of all weights. rate: η. Both are 0 if the gradient is 0.
        loss, loss_after: the mean over the text's tokens, in nats per token.
        losses, losses_after: of every token after the first: −log p(token).
        expected: the change of the loss that the gradient promises, −η ‖g‖²; the real one differs because the loss is curved.
        weights: every tensor, those that moved most first.
        candidates: all tokens in `top`. top, top_logprobs: before the step, after each token but the last.
        top_logprobs_after: of the same tokens after the step.
    """

    NAME: ClassVar[str] = "gradient"

    move: float
    rate: float
    loss: float
    loss_after: float
    expected: float
    losses: Array = array("(P,)", "nats")
    losses_after: Array = array("(P,)", "nats")
    weights: tuple[WeightMove, ...]
    candidates: tuple[Token, ...]
    top: Array = array("(P, C)", "token id", "i4")
    top_logprobs: Array = array("(P, C)", "nats")
    top_logprobs_after: Array = array("(P, C)", "nats")


def gradient(model: Model, text: str, move: float | None = None) -> GradientView:
    """Returns what one step of gradient descent on `text` does.

    It needs memory for the gradients and for a copy of all weights.

    Args:
        move: the length of the step, as a share of the length of all weights. Default: the one that would halve the loss if
            the loss were not curved, at most 0.1 %.

    Raises:
        LiuliError: what `read_passage` raises; the text has only one token; `move` is not above 0; the weights are in 16 bits.
    """
    if move is not None and not is_positive(move):
        raise LiuliError(f"move must be a number above 0, not {move!r}")
    read = read_passage(model, text)
    if len(read.ids) < 2:
        raise LiuliError("the text has one token, and the loss needs a next one: give a longer text")
    decoder, tokenizer = model.decoder, model.tokenizer
    assert tokenizer is not None
    if decoder.dtype != torch.float32:
        raise LiuliError(f"the weights are in {ModelFacts.of(model).dtype}, and a step needs fp32: use --dtype fp32")
    states_PD = _states(decoder, read)
    before = summarise_states(decoder, states_PD, CANDIDATES)
    losses_P = _losses(decoder, states_PD, read)
    loss, gradients = _gradients(decoder, read)
    length = _length(gradients.values())
    weights = {name: parameter.detach() for name, parameter in decoder.named_parameters() if name in gradients}
    size = _length(weights.values())
    if not length:
        move = 0.0  # no direction is better than another
    elif move is None:
        move = min(LONGEST, PROMISED * loss / (length * size))
    rate = move * size / length if length else 0.0
    with _moved(weights, gradients, rate):
        states_PD = _states(decoder, read)
        after_P = _losses(decoder, states_PD, read)
        after_logprobs_PC = _logprobs_of(decoder, states_PD, torch.from_numpy(before.ids))
    return GradientView(
        model=ModelFacts.of(model),
        input=read,
        checks=(SelfCheck("losses_equal_the_mean", abs(losses_P.mean().item() - loss), "nats per token", LIMIT),),
        caveats=("gradient.one_step", *(("gradient.adapter",) if model.adapter else ()), "prob.stage"),
        move=move,
        rate=rate,
        loss=loss,
        loss_after=after_P.mean().item(),
        expected=-rate * length**2,
        losses=losses_P.numpy(),
        losses_after=after_P.numpy(),
        weights=_moves(weights, gradients, rate),
        candidates=tuple(map(tokenizer.token, np.unique(before.ids).tolist())),
        top=before.ids,
        top_logprobs=before.logprobs,
        top_logprobs_after=after_logprobs_PC.numpy(),
    )


def _states(decoder: Decoder, read: Passage) -> Tensor:
    """The states after each token but the last, (P, D)."""
    return record(decoder, read.ids)[0][:-1]


def _losses(decoder: Decoder, states_PD: Tensor, read: Passage) -> Tensor:
    """The loss of every token after the first, (P,)."""
    return -_logprobs_of(decoder, states_PD, torch.tensor(read.ids[1:])[:, None])[:, 0]


@torch.inference_mode()
def _logprobs_of(decoder: Decoder, states_PD: Tensor, ids_PC: Tensor) -> Tensor:
    """The log-probability of some tokens after each state, (P, C)."""
    found, done = [], 0
    for logits_nV in logits_in_chunks(decoder, states_PD):
        found.append(logprobs_of(logits_nV).gather(-1, ids_PC[done : done + len(logits_nV)]))
        done += len(logits_nV)
    return torch.cat(found)


def _gradients(decoder: Decoder, read: Passage) -> tuple[float, dict[str, Tensor]]:
    """The mean loss, and the gradient of every weight by name."""
    ids_1T = torch.tensor([read.ids], device=decoder.device)
    parameters = dict(decoder.named_parameters())
    frozen = [parameter for parameter in parameters.values() if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad():
            states_PD = decoder.hidden(ids_1T[:, :-1])[0]
            loss = summed_nats(decoder.head, states_PD, ids_1T[0, 1:]) / (len(read.ids) - 1)
            found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
    return loss.item(), {name: each for name, each in zip(parameters, found, strict=True) if each is not None}


@contextmanager
def _moved(weights: dict[str, Tensor], gradients: dict[str, Tensor], rate: float) -> Iterator[None]:
    """The model after the step; its weights are put back to the bit."""
    kept = {name: weight.clone() for name, weight in weights.items()}
    try:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.sub_(gradients[name], alpha=rate)
        yield
    finally:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(kept[name])


def _length(tensors: Iterable[Tensor]) -> float:
    """The Euclidean norm of all numbers together."""
    return sum(tensor.double().square().sum().item() for tensor in tensors) ** 0.5


def _moves(weights: dict[str, Tensor], gradients: dict[str, Tensor], rate: float) -> tuple[WeightMove, ...]:
    whole = _length(gradients.values()) ** 2 or 1.0
    found = []
    for name, weight in weights.items():
        length = _length([gradients[name]])
        layer = int(name.split(".")[1]) if name.startswith("blocks.") else None
        found.append(WeightMove(name, tuple(weight.shape), layer, length, rate * length, _length([weight]), length**2 / whole))
    return tuple(sorted(found, key=lambda each: -each.change))
