"""One choice of a token: the whole distribution, every rule that cut it, and where the random number fell.

The view keeps all logits, so that the choice can be computed again under other settings, exactly as the engine would.

Legend of shape suffixes: V vocabulary.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from liuli.display import visible
from liuli.generate.model import Model
from liuli.generate.record import StepRecord, StepScores, score
from liuli.generate.sampling import Draw, Sampling, choose
from liuli.inside.arrays import Array, array
from liuli.inside.distributions import logits_in_chunks
from liuli.inside.passage import read_passage
from liuli.inside.self_check import SelfCheck, largest, limit_in
from liuli.inside.tape import Tape
from liuli.inside.view import ModelFacts, View
from liuli.tokens import Token, Tokenizer

LISTED = 40
NAMED = 2000  # tokens that have a name on the line, so that a choice at a high temperature can be read
LIMIT = 1e-5  # of a probability
LINE_LIMIT = 1e-12  # of a place on the line from 0 to 1


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CandidatesView(View):
    """The choice of the token after a text.

    Attributes:
        sampling: the settings. sampling_source: where those that were not given come from.
        step: the choice as the engine recorded it (docs/step-record.schema.json): the most likely tokens with their intervals
            on the line from 0 to 1, the rules that removed tokens, the random number and the chosen token.
        logits: of all ids.
        likely_names: the names of the most likely tokens, the most likely first, one on each line.
    """

    NAME: ClassVar[str] = "candidates"

    sampling: Sampling
    sampling_source: str
    step: StepRecord
    logits: Array = array("(V,)", "logits")
    likely_names: str

    def under(self, tokenizer: Tokenizer, **settings: Any) -> tuple[Token, StepScores]:
        """The token that the same random number chooses under other settings, and the numbers behind the choice.

        Args:
            settings: fields of `Sampling`; the others stay.

        Raises:
            LiuliError: a setting is out of range; no token is left to choose from.
        """
        assert self.step.uniform is not None
        logits_V = torch.from_numpy(self.logits)
        draw = Draw(replace(self.sampling, **settings), self.step.uniform, prompt=self.input.ids, counts={})
        choice = choose(logits_V, draw)
        return tokenizer.token(choice.id), score(logits_V, choice, LISTED, tokenizer.token)


def candidates(model: Model, text: str, seed: int = 0, sampling: Mapping[str, Any] | None = None) -> CandidatesView:
    """Returns the choice of the token after `text`.

    Args:
        seed: of the random number.
        sampling: fields of `Sampling`; those not given are the model's own.

    Raises:
        LiuliError: what `read_passage` raises; a setting is out of range; no token is left to choose from.
    """
    read = read_passage(model, text)
    assert model.tokenizer is not None
    tape = Tape("final_norm")
    settings = dict(sampling or {})
    completion, steps = model.stream(read.ids, max_tokens=1, seed=seed, candidates=LISTED, tap=tape, **settings)
    step = next(steps)
    logits_V = next(logits_in_chunks(model.decoder, tape["final_norm"][0, -1:]))[0]
    view = CandidatesView(
        model=ModelFacts.of(model),
        input=read,
        seed=seed,
        checks=(),
        caveats=("prob.both_stages", "prob.not_truth"),
        sampling=completion.sampling,
        sampling_source=model.sampling_source,
        step=step,
        logits=logits_V.numpy(),
        likely_names="\n".join(_likely_names(logits_V, model.tokenizer)),
    )
    return replace(view, checks=_checks(view, model.tokenizer, model.decoder.dtype))


def _likely_names(logits_V: torch.Tensor, tokenizer: Tokenizer) -> list[str]:
    """As the terminal and the page write them. Of equally likely tokens, the one with the lower id comes first."""
    ids = logits_V.argsort(descending=True, stable=True)[:NAMED].tolist()
    return [visible(token.text, token.bytes) or "∅" for token in map(tokenizer.token, ids)]


def _checks(view: CandidatesView, tokenizer: Tokenizer, dtype: torch.dtype) -> tuple[SelfCheck, ...]:
    """The step is computed again from the logits, and the random number is compared with the interval of the chosen token."""
    scores, uniform = view.step.scores, view.step.uniform
    assert scores is not None and uniform is not None
    limit = limit_in(dtype, LIMIT)
    # A token whose probability is within rounding of the bound of top-p or min-p may be kept once and removed once.
    own_V = torch.from_numpy(view.logits).softmax(-1)
    gaps = [_gap(view.step, own_V, *view.under(tokenizer, **moved)) for moved in ({}, *_moved_bounds(view.sampling, limit))]
    return (
        SelfCheck("recomputed_equals_the_step", min(gaps), "probability", limit),
        SelfCheck("number_in_the_interval", _outside(uniform, scores.interval), "place on the line", LINE_LIMIT),
    )


def _moved_bounds(sampling: Sampling, by: float) -> list[dict[str, float]]:
    """The settings in force, with the bound of a rule a little lower or higher."""
    moved = []
    if sampling.top_p < 1:
        moved += [{"top_p": max(by, sampling.top_p - by)}, {"top_p": min(1.0, sampling.top_p + by)}]
    if sampling.min_p > 0:
        moved += [{"min_p": max(0.0, sampling.min_p - by)}, {"min_p": min(1.0, sampling.min_p + by)}]
    return moved


def _gap(step: StepRecord, own_V: Tensor, token: Token, again: StepScores) -> float:
    """The largest difference between the step and the same computed again: of the model's own probabilities by token, and of
    those after the sampler by rank, because tokens with almost the same logit can swap their ranks. If another token is chosen,
    also how far the random number is from the interval of the step's token; if that has none, how far the two are from a tie.

    Args:
        own_V: the model's own probabilities. token, again: the choice that was computed again.
    """
    assert step.scores is not None and step.token is not None and step.uniform is not None
    old, new = step.scores.candidates, again.candidates
    gaps = [abs(math.exp(each.logprob) - own_V[each.token.id].item()) for each in old]
    gaps += [abs(math.exp(a.sampled_logprob) - math.exp(b.sampled_logprob)) for a, b in zip(old, new, strict=True)]
    if token.id != step.token.id:
        interval = next((each.interval for each in new if each.token.id == step.token.id), None)
        tie = abs(own_V[token.id] - own_V[step.token.id]).item()
        gaps.append(tie if interval is None else _outside(step.uniform, interval))
    return largest(gaps)


def _outside(uniform: float, interval: tuple[float, float]) -> float:
    """How far a random number is outside an interval."""
    lower, upper = interval
    return max(0.0, lower - uniform, uniform - upper)
