"""One choice of a token: the whole distribution, every rule that cut it, and where the random number fell.

The view keeps all logits, so that the choice can be computed again under other settings, exactly as the engine would.

Legend of shape suffixes: V vocabulary.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from liuli.display import visible
from liuli.generate.model import Model
from liuli.generate.record import StepRecord, StepScores, score
from liuli.generate.sampling import Draw, Sampling, choose
from liuli.inside.arrays import Array, array
from liuli.inside.distributions import logits_in_chunks
from liuli.inside.passage import read_passage
from liuli.inside.self_check import SelfCheck, largest, limit_in
from liuli.inside.tape import record
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
    completion, steps = model.stream(read.ids, max_tokens=1, seed=seed, candidates=LISTED, **dict(sampling or {}))
    step = next(steps)
    states_TD, _ = record(model.decoder, read.ids)
    logits_V = next(logits_in_chunks(model.decoder, states_TD[-1:]))[0]
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
    """The step is computed again from the logits, and the intervals of all ids are laid side by side."""
    scores = view.step.scores
    assert scores is not None
    _, again = view.under(tokenizer)
    return (
        SelfCheck("recomputed_equals_the_step", _difference(scores, again), "probability", limit_in(dtype, LIMIT)),
        SelfCheck("number_in_the_interval", _outside(view.step, scores), "place on the line", LINE_LIMIT),
    )


def _difference(scores: StepScores, again: StepScores) -> float:
    """The largest difference between two probabilities of the same candidate, the model's own or after the sampler."""
    old = {each.token.id: each for each in scores.candidates}
    pairs = [(old[each.token.id], each) for each in again.candidates if each.token.id in old]
    own = [abs(math.exp(one.logprob) - math.exp(other.logprob)) for one, other in pairs]
    sampled = [abs(math.exp(one.sampled_logprob) - math.exp(other.sampled_logprob)) for one, other in pairs]
    return largest([*own, *sampled])


def _outside(step: StepRecord, scores: StepScores) -> float:
    """How far the random number is outside the interval of the chosen token."""
    assert step.uniform is not None
    lower, upper = scores.interval
    return max(0.0, lower - step.uniform, step.uniform - upper)
