"""What one step of one request was, with real numbers: the record that `--steps`, the server and the store share.

Its JSON is a contract: `docs/step-record.schema.json` is the schema, held to it by a test. Unless its name says
`sampled`, a probability is the model's own (temperature 1, nothing cut). Log-probabilities and entropy are in nats;
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
    """A token that could have been chosen. `cut`: the rule that removed it, if one did."""

    token: Token
    logit: float
    logprob: float
    sampled_logprob: float
    cut: str | None


@dataclass(frozen=True, slots=True)
class StepScores(Record):
    """The numbers behind a choice. `removed_mass`: probability that the grammar took away."""

    logprob: float
    sampled_logprob: float
    entropy: float
    removed_mass: float
    cuts: list[tuple[str, int, float]] = field(default_factory=list)  # (rule, ids kept, probability taken away)
    candidates: list[Candidate] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return Record.to_json(self) | {"cuts": [{"rule": rule, "kept": kept, "mass": mass} for rule, kept, mass in self.cuts]}


@dataclass(slots=True)
class StepRecord(Record):
    """One token of one request, or its end without one (`token` None: cancelled, or an error).

    `index` counts the completion's tokens from 0, `position` those of prompt and completion. `text` is what may be
    shown now: the texts of all records make the completion's text. `forced`: the constraint left no choice. `scores`
    is None where none were asked for. `ms`: from the beginning of the engine's step to this record.
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
    prompt_logprobs: list[float | None] | None = None  # with the first record, if asked for; the first token has none

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {}
        for name, value in Record.to_json(self).items():
            if name == "scores":
                body |= value or {}
            elif value is not None or name not in ("error", "prompt_logprobs"):
                body[name] = value
        return body | {"ms": round(self.ms, 3)}


def score(logits_V: Tensor, choice: TokenChoice, candidates: int, describe: Callable[[int], Token]) -> StepScores:
    """The numbers behind `choice`, from the model's own fp32 logits.

    Args:
        candidates: how many of the model's likeliest tokens to list. describe: id -> Token.
    """
    logprobs_V = logits_V.log_softmax(-1)
    found = choice.distribution
    grammar = next((cut.mass for cut in found.cuts if cut.rule == "grammar"), 0.0)
    entropy = torch.special.entr(logprobs_V.exp()).sum().item()
    cuts, listed = [(cut.rule, len(cut.kept), cut.mass) for cut in found.cuts], []
    if candidates:
        ids = top_k(logits_V, min(candidates, len(logits_V)))
        order = logits_V[ids].sort(descending=True, stable=True)
        ids = ids[order.indices]
        numbers = order.values.tolist(), logprobs_V[ids].tolist(), found.logprobs(ids)
        listed = list(map(Candidate, map(describe, ids.tolist()), *numbers, found.cut_by(ids)))
    return StepScores(logprobs_V[choice.id].item(), math.log(choice.probability), entropy, grammar, cuts, listed)
