"""The checks that every view makes of its own numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from liuli.fields import Record

MEANINGS = {  # what the value of each check is, for people
    "distributions_sum_to_1": "the largest distance of a distribution's sum from 1",
    "answers_equal_their_steps": "the largest difference between an answer's log-probability and the sum over its steps",
    "every_character_is_covered": "the number of characters, except white space, that no token covers",
    "steps_equal_ids": "the number of token ids that differ between the recorded steps and the tokenizer's result",
    "cosines_recomputed": "the largest difference between a cosine and the same one in fp64",
    "identical_prefixes": "the largest difference between vectors that have read the same tokens",
    "attention_rows_sum_to_1": "the largest distance of a row of attention weights from a sum of 1",
    "heads_equal_the_decoder": "the largest difference between weights × values and what the decoder's heads computed",
    "last_layer_equals_the_model": "the largest difference between the lens's last row and the model's own logits",
    "recomputed_equals_the_step": "the largest difference between a recomputed probability and that of the step",
    "number_in_the_interval": "how far the random number is outside the interval of the chosen token",
    "path_sums": "the largest difference, per token, between a branch's log-probability and the same in one pass over its text",
    "scores_sum_to_the_difference": "the difference between the sum of the scores and the change that they explain, as a share "
    "of the change",
    "patching_everything": "the difference between the preference with all states replaced and that of the first text",
    "patching_nothing": "the difference between the preference with no part replaced and the model's own",
    "shares_are_at_most_1": "how far the recorded probabilities of a step exceed 1 together",
    "losses_equal_the_mean": "the difference between the mean of the tokens' losses and the loss of the step",
    "stages_equal_the_model": "the largest difference between the logits of the path and the model's own",
}


IN_16_BITS = 1000  # the factor by which rounding errors are larger: bf16 has 8 significant bits, fp32 has 24


@dataclass(frozen=True, slots=True)
class SelfCheck(Record):
    """Something that must hold for what a view shows to be true: `value`, in `unit`, is at most `limit`. NaN does not hold."""

    name: str
    value: float
    unit: str
    limit: float

    @property
    def ok(self) -> bool:
        return self.value <= self.limit

    @property
    def meaning(self) -> str:
        """What `value` is, for people."""
        return MEANINGS[self.name]

    def to_json(self) -> dict[str, Any]:
        return Record.to_json(self) | {"ok": self.ok}


def largest(values: Iterable[float]) -> float:
    """The largest of some values of at least 0; NaN if one of them is NaN, which `max` can hide."""
    return float(np.max([0.0, *values]))


def limit_in(dtype: torch.dtype, limit: float) -> float:
    """The limit of a rounding error that is `limit` in fp32, in the dtype of a decoder."""
    return limit if dtype.itemsize >= 4 else limit * IN_16_BITS
