"""The record of one step of one request, with real numbers, for `--steps`, the server and the store.

Its JSON is a contract: `docs/step-record.schema.json` is the schema, and a test holds it to that. A probability is the model's
own (temperature 1, nothing cut) unless its name says `sampled`. Log-probabilities and entropy are in nats; the logarithm of
probability 0 is null.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from liuli.fields import Record
from liuli.generate.sampling import TokenChoice, top_k
from liuli.tokens import Token

FinishReason = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class Candidate(Record):
    """A token that could have been chosen.

    Attributes:
        cut: the rule that removed it, or None.
        interval: the random numbers that choose it, from the first bound to below the second (`sampling.py`); None if no number
            does: the token was removed, or the choice was greedy and took another.
    """

    token: Token
    logit: float
    logprob: float
    sampled_logprob: float
    cut: str | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class StepScores(Record):
    """The numbers behind a choice.

    Attributes:
        interval: of the chosen token, as in `Candidate`; (0, 1) if there was no other choice.
        cuts: for each rule that removed tokens, in order: its name, how many ids it kept, and the probability that it removed.
    """

    logprob: float
    sampled_logprob: float
    entropy: float
    interval: tuple[float, float]
    cuts: list[tuple[str, int, float]] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return Record.to_json(self) | {"cuts": [{"rule": rule, "kept": kept, "mass": mass} for rule, kept, mass in self.cuts]}


@dataclass(slots=True)
class StepRecord(Record):
    """One token of one request, or its end without a token.

    Attributes:
        request: the request's name.
        index: the token's number in the completion, from 0. position: in prompt and completion.
        token: None if the request was cancelled or ended with an error.
        text: what may be shown now. The texts of all records are the completion's text.
        forced: whether the constraint left no choice. uniform: the random number for the token.
        scores: None if they were not requested.
        ms: milliseconds from the beginning of the engine's step to this record.
        finish_reason: None if the request continues. error: what went wrong, in one line.
        prompt_logprobs: in the first record, if requested; None for the first token of the prompt.
        removed: the probability of all tokens that the constraint did not allow, in the model's own distribution: how much the
            model wanted something else. None without a constraint.
        captures: in the last record, the texts that the grammar captured, by name; None if it captures nothing.
    """

    request: str
    index: int
    position: int
    token: Token | None
    text: str
    forced: bool = False
    uniform: float | None = None
    scores: StepScores | None = None
    ms: float = 0.0
    finish_reason: FinishReason | None = None
    error: str | None = None
    prompt_logprobs: list[float | None] | None = None
    removed: float | None = None
    captures: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {}
        for name, value in Record.to_json(self).items():
            if name == "scores":
                body |= value or {}
            elif value is not None or name not in ("removed", "error", "captures", "prompt_logprobs"):
                body[name] = value
        return body | {"ms": round(self.ms, 3)}


def score(logits_V: Tensor, choice: TokenChoice, candidates: int, describe: Callable[[int], Token]) -> StepScores:
    """The numbers behind `choice`.

    Args:
        logits_V: the model's own, fp32.
        candidates: how many of the model's most likely tokens to list.
        describe: id -> Token.
    """
    logprobs_V = logits_V.log_softmax(-1)
    found = choice.distribution
    entropy = torch.special.entr(logprobs_V.exp()).sum().item()
    cuts, listed = [(cut.rule, len(cut.kept), cut.mass) for cut in found.cuts], []
    if candidates:
        ids = top_k(logits_V, min(candidates, len(logits_V)))
        order = logits_V[ids].sort(descending=True, stable=True)
        ids = ids[order.indices]
        numbers = order.values.tolist(), logprobs_V[ids].tolist(), found.logprobs(ids)
        listed = list(map(Candidate, map(describe, ids.tolist()), *numbers, found.cut_by(ids), found.intervals(ids)))
    (interval,) = found.intervals(found.ids_K.new_tensor([choice.id]))
    assert interval is not None
    return StepScores(logprobs_V[choice.id].item(), math.log(choice.probability), entropy, interval, cuts, listed)
