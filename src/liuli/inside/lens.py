"""The logit lens: what the model would predict if its later layers were left out.

The final norm and the head are applied to the residual stream after the embedding and after every block. The last row is the
model's own prediction. Source: nostalgebraist 2020, "interpreting GPT: the logit lens". Its limits: Belrose et al. 2023,
https://arxiv.org/abs/2303.08112.

Legend of shape suffixes: R rows (after the embedding, then after each block), P positions, D width, V vocabulary, K tracked
tokens, C candidates, N = P · R.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.generate.model import Model
from liuli.inside.arrays import Array, array
from liuli.inside.distributions import (
    NUMBERS_AT_ONCE,
    SUM_LIMIT,
    Distributions,
    joined,
    logits_in_chunks,
    logprobs_of,
    summarise,
)
from liuli.inside.next_word import NextWord, next_word
from liuli.inside.passage import Passage, read_passage
from liuli.inside.self_check import SelfCheck, largest, limit_in
from liuli.inside.tape import record, residual_points
from liuli.inside.view import ModelFacts, View
from liuli.model.decoder import Decoder
from liuli.tokens import Token
from liuli.watch import Watch, unwatched

CANDIDATES = 5
POSITIONS = 32  # of a long text, the last ones: each costs a matrix multiplication with the head for every layer
LIMIT = 1e-4  # of a logit


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LensView(View):
    """What every layer predicts after some tokens of a text.

    Attributes:
        rows: "embedding", then "0", "1", … for the state after each block. The last row is the model itself.
        positions: the places of the tokens after which a prediction is made.
        candidates: all tokens in `top`.
        top: the ids of the most likely tokens, the most likely first. top_logprobs: their log-probabilities.
        entropy: of each distribution.
        divergence: KL(model ‖ row): how far each row is from the model's own prediction.
        tracked: tokens that are followed through the layers: the model's prediction after the last position, then those that
            were asked for.
        words: those that the user gave, with the tokens that they mean.
        logprobs, ranks: of each tracked token; rank 0 is the most likely token.
        final_logprobs, final_ranks: of the token that the model itself predicts after each position.
        leads_from: for each tracked token and position, the first row from which on it is the most likely token in every
            row; −1 if the model itself predicts another token. final_leads_from: the same row of the token that the model
            itself predicts after each position.
    """

    NAME: ClassVar[str] = "lens"

    rows: tuple[str, ...]
    positions: tuple[int, ...]
    candidates: tuple[Token, ...]
    top: Array = array("(P, R, C)", "token id", "i4")
    top_logprobs: Array = array("(P, R, C)", "nats")
    entropy: Array = array("(P, R)", "nats")
    divergence: Array = array("(P, R)", "nats")
    tracked: tuple[Token, ...]
    words: tuple[NextWord, ...]
    logprobs: Array = array("(P, R, K)", "nats")
    ranks: Array = array("(P, R, K)", "rank", "i4")
    final_logprobs: Array = array("(P, R)", "nats")
    final_ranks: Array = array("(P, R)", "rank", "i4")
    leads_from: Array = array("(K, P)", "row", "i4")
    final_leads_from: Array = array("(P,)", "row", "i4")


def lens(
    model: Model, text: str, words: Sequence[str] = (), positions: Sequence[int] | None = None, watch: Watch = unwatched
) -> LensView:
    """Returns what every layer predicts after the tokens of `text`.

    Args:
        words: words whose first token is tracked, as the model would write them after `text` (`next_word`).
        positions: places of tokens; negative ones count from the end. Default: the last 32.

    Raises:
        LiuliError: what `read_passage` raises; there is no such position; a word has no tokens.
    """
    read = read_passage(model, text)
    chosen = _positions(read, positions)
    decoder = model.decoder
    states_TD, tape = record(decoder, read.ids, *residual_points(decoder))
    with torch.inference_mode():
        rows_PRD = torch.stack([decoder.norm(x_1TD[0, chosen]) for x_1TD in tape.residuals()], 1)
    model_PV = torch.cat(list(logits_in_chunks(decoder, states_TD[chosen])))
    given = tuple(next_word(model, read, word) for word in words)
    tracked = list(dict.fromkeys([int(model_PV[-1].argmax()), *(word.token.id for word in given)]))
    followed_PK = torch.cat((torch.tensor([tracked]).expand(len(chosen), -1), model_PV.argmax(-1, keepdim=True)), 1)

    rows = rows_PRD.shape[1]
    found, divergence_PR, gap = _predictions(decoder, rows_PRD, model_PV, followed_PK, watch)
    by_position = len(chosen), rows, -1
    top_PRC, ranks_PRK = found.ids.reshape(by_position), found.ranks.reshape(by_position)
    logprobs_PRK = found.tracked.reshape(by_position)  # the last of the tracked tokens is the model's own prediction
    return LensView(
        model=ModelFacts.of(model),
        input=read,
        checks=(
            SelfCheck("last_layer_equals_the_model", gap, "logits", limit_in(decoder.dtype, LIMIT)),
            SelfCheck("distributions_sum_to_1", found.sum_error.max().item(), "probability", SUM_LIMIT),
        ),
        caveats=("lens.not_belief", "lens.language", "prob.stage"),
        rows=row_names(decoder),
        positions=tuple(chosen),
        candidates=_tokens(model, np.unique(top_PRC).tolist()),
        top=top_PRC,
        top_logprobs=found.logprobs.reshape(by_position),
        entropy=found.entropy.reshape(by_position[:2]),
        divergence=divergence_PR,
        tracked=_tokens(model, tracked),
        words=given,
        logprobs=logprobs_PRK[..., :-1],
        ranks=ranks_PRK[..., :-1],
        final_logprobs=logprobs_PRK[..., -1],
        final_ranks=ranks_PRK[..., -1],
        leads_from=_leads_from(ranks_PRK[..., :-1]),
        final_leads_from=_leads_from(ranks_PRK[..., -1:])[0] % rows,  # after a tie, its rank can be 1: the last row
    )


def _predictions(
    decoder: Decoder, rows_PRD: Tensor, model_PV: Tensor, followed_PK: Tensor, watch: Watch
) -> tuple[Distributions, Array, float]:
    """What every row predicts, a few positions at a time.

    Args:
        rows_PRD: states after the final norm. model_PV: the model's own logits. followed_PK: ids whose numbers are recorded.

    Returns:
        The distributions, P · R of them; the divergence of each from the last row, (P, R); and the largest difference between
        the logits of a last row and the model's own.
    """
    parts: list[Distributions] = []
    divergences: list[Array] = []
    gaps: list[float] = []
    positions, rows = rows_PRD.shape[:2]
    for places in torch.arange(positions).split(max(1, NUMBERS_AT_ONCE // (rows * decoder.config.vocab_size))):
        watch("reading the layers", int(places[0]), positions)
        logits_NV = torch.cat(list(logits_in_chunks(decoder, rows_PRD[places].flatten(0, 1))))
        gaps.append((logits_NV[rows - 1 :: rows] - model_PV[places]).abs().max().item())
        logprobs_NV = logprobs_of(logits_NV)
        parts.append(summarise(logprobs_NV, CANDIDATES, followed_PK[places].repeat_interleave(rows, 0)))
        divergences.append(_divergence(logprobs_NV.unflatten(0, (-1, rows))))
    return joined(parts), np.concatenate(divergences), largest(gaps)


def row_names(decoder: Decoder) -> tuple[str, ...]:
    """The names of the states of the residual stream: "embedding", then the number of each block."""
    return ("embedding", *map(str, range(decoder.config.layers)))


def _tokens(model: Model, ids: Sequence[int]) -> tuple[Token, ...]:
    assert model.tokenizer is not None
    return tuple(map(model.tokenizer.token, ids))


def _positions(read: Passage, positions: Sequence[int] | None) -> list[int]:
    count = len(read.ids)
    if positions is None:
        return list(range(max(0, count - POSITIONS), count))
    for position in positions:
        if not -count <= position < count:
            raise LiuliError(f"there is no token {position}: the text has {count} tokens, 0 to {count - 1}")
    return [position % count for position in positions]


@torch.inference_mode()
def _divergence(logprobs_PRV: Tensor) -> Array:
    """(P, R): KL(last row ‖ row), in nats."""
    model_P1V = logprobs_PRV[:, -1:].exp()
    means_PR = (logprobs_PRV * model_P1V).sum(-1)  # of each row's log-probabilities, as the last row weights the tokens
    return (means_PR[:, -1:] - means_PR).clamp(min=0).numpy()  # rounding of zero can be negative


def _leads_from(ranks_PRK: Array) -> Array:
    """(K, P): the first row from which on a tracked token has rank 0 in every row; −1 if it has not in the last row."""
    leads_PRK = np.flip(np.logical_and.accumulate(np.flip(ranks_PRK == 0, 1), 1), 1)
    first_PK = np.where(leads_PRK[:, -1], leads_PRK.argmax(1), -1)
    return first_PK.T
