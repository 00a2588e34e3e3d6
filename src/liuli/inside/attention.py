"""Where each head reads: an overview of all heads, and the weights of one layer.

Sources: first-token sinks, Xiao et al. 2023, https://arxiv.org/abs/2309.17453; induction heads, Olsson et al. 2022,
https://arxiv.org/abs/2209.11895.

Legend of shape suffixes: L layers, H heads, T tokens, D width.
"""

from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.generate.model import Model
from liuli.inside.arrays import Array, array
from liuli.inside.attention_weights import attention_weights, head_outputs, value_sizes
from liuli.inside.passage import read_passage
from liuli.inside.self_check import SelfCheck, limit_in
from liuli.inside.tape import Tape, record
from liuli.inside.view import ModelFacts, View
from liuli.model.decoder import Decoder
from liuli.watch import Watch, unwatched

MOST_TOKENS = 512  # whose weights are stored and drawn: H × T² / 2 numbers
REPEATED = 24  # random tokens that are read twice, to find the heads that look for a repetition
SEED = 0  # of these tokens
SUM_LIMIT = 1e-5
HEADS_LIMIT = 1e-4  # as a share of the largest output of a head
CAVEATS = ("attention.sink", "attention.value_norm", "causal.left_only")  # after the first ones


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AttentionView(View):
    """The overview of all heads, and one layer.

    Attributes:
        entropy: the mean over tokens of the entropy of what a head reads.
        first: the mean weight on the first token, over all later tokens that can see it. previous: on the token just before.
            itself: on the token itself.
        induction: the mean weight on the token that followed the same token before. It is measured on 24 random tokens, all
            different, that are read twice, so it does not depend on the text; NaN if the context or the layer's window is too
            short for it, or the vocabulary too small.
        layer: the layer whose weights follow. By default, the layer that reads least from the first token.
        weights: row t is what token t reads from tokens 0 to t.
        value_sizes: the size (Euclidean norm) of what a head reads from a token with weight 1, after the output matrix.
            Weight × size is the size of a read.
        window: the number of tokens that this layer can see; None: all.
    """

    NAME: ClassVar[str] = "attention"

    entropy: Array = array("(L, H)", "nats")
    first: Array = array("(L, H)", "weight")
    previous: Array = array("(L, H)", "weight")
    itself: Array = array("(L, H)", "weight")
    induction: Array = array("(L, H)", "weight")
    layer: int
    weights: Array = array("(H, T, T)", "weight", "f2", "tril")
    value_sizes: Array = array("(H, T)", "size of a vector")
    window: int | None


def attention(model: Model, text: str, layer: int | None = None, watch: Watch = unwatched) -> AttentionView:
    """Returns where each head reads in `text`.

    Args:
        layer: the layer whose weights are returned.

    Raises:
        LiuliError: what `read_passage` raises, with at most 512 tokens; there is no such layer.
    """
    decoder = model.decoder
    if layer is not None:
        check_layer(decoder, layer)
    read = read_passage(model, text, MOST_TOKENS)
    _, tape = record(decoder, read.ids, *(f"blocks.*.{point}" for point in ("q", "k", "v", "heads")))
    repeats = _Repetition.of(model)
    layers = decoder.config.layers
    rows = []
    for each in range(layers):
        watch("reading attention", each, layers)
        weights_HTT = _weights(decoder, tape, each)
        induction_H = torch.full((decoder.config.heads,), torch.nan) if repeats is None else repeats.induction(decoder, each)
        rows.append([*_habits(weights_HTT, decoder.config.window(each)), induction_H])
    overview = np.array([[np.asarray(numbers) for numbers in row] for row in rows], np.float32)  # (L, 5, H)
    entropy_LH, first_LH, previous_LH, itself_LH, induction_LH = np.moveaxis(overview, 1, 0)
    if layer is None:
        layer = int(np.nan_to_num(first_LH.mean(1), nan=np.inf).argmin())

    weights_HTT = _weights(decoder, tape, layer)
    v_TKD, heads_TD = tape[f"blocks.{layer}.v"][0], tape[f"blocks.{layer}.heads"][0].float()
    gap = (head_outputs(weights_HTT, v_TKD) - heads_TD).abs().max() / heads_TD.abs().max().clamp(min=1e-30)
    limit = limit_in(decoder.dtype, HEADS_LIMIT)
    return AttentionView(
        model=ModelFacts.of(model),
        input=read,
        seed=SEED,
        checks=(
            SelfCheck("attention_rows_sum_to_1", (weights_HTT.sum(-1) - 1).abs().max().item(), "weight", SUM_LIMIT),
            SelfCheck("heads_equal_the_decoder", gap.item(), "share of the largest output", limit),
        ),
        caveats=("attention.not_explanation", *post_norm_caveat(decoder), *CAVEATS),
        entropy=entropy_LH,
        first=first_LH,
        previous=previous_LH,
        itself=itself_LH,
        induction=induction_LH,
        layer=layer,
        weights=weights_HTT.cpu().numpy(),
        value_sizes=value_sizes(decoder, layer, v_TKD).cpu().numpy(),
        window=decoder.config.window(layer),
    )


def check_layer(decoder: Decoder, layer: int) -> None:
    """Raises LiuliError if the model has no such layer."""
    if not 0 <= layer < decoder.config.layers:
        raise LiuliError(f"there is no layer {layer}: the model has {decoder.config.layers}, 0 to {decoder.config.layers - 1}")


def check_head(decoder: Decoder, head: int) -> None:
    """Raises LiuliError if the layers have no such head."""
    if not 0 <= head < decoder.config.heads:
        raise LiuliError(f"there is no head {head}: a layer has {decoder.config.heads}, 0 to {decoder.config.heads - 1}")


def post_norm_caveat(decoder: Decoder) -> tuple[str, ...]:
    """The key of what the size of a read does not say if a norm follows attention; nothing in other models."""
    return ("attention.post_norm",) if decoder.config.post_norms else ()


def _weights(decoder: Decoder, tape: Tape, layer: int) -> Tensor:
    return attention_weights(decoder, layer, tape[f"blocks.{layer}.q"][0], tape[f"blocks.{layer}.k"][0])


def _habits(weights_HTT: Tensor, window: int | None) -> list[Tensor]:
    """Entropy, and the weight on the first token, the previous token and the token itself, (H,) each. The first token can only
    read itself, so it is left out; if there is no other, all numbers are NaN. A token from whose window the first token is gone
    is left out of the weight on it."""
    later_HTT = weights_HTT[:, 1:]
    entropy_H = torch.special.entr(later_HTT).sum(-1).mean(-1)
    first_H = weights_HTT[:, 1:window, 0].mean(-1)
    previous_H = weights_HTT.diagonal(-1, 1, 2).mean(-1)
    itself_H = weights_HTT.diagonal(0, 1, 2)[:, 1:].mean(-1)
    return [each.cpu() for each in (entropy_H, first_H, previous_H, itself_H)]


@dataclass(frozen=True, slots=True)
class _Repetition:
    """A pass over the same random tokens twice, after the begin tokens.

    Attributes:
        before: the number of begin tokens.
    """

    tape: Tape
    before: int

    @classmethod
    def of(cls, model: Model) -> "_Repetition | None":
        """None if the tokens do not fit the context, or the vocabulary has too few."""
        tokenizer = model.tokenizer
        assert tokenizer is not None
        begin, count = tokenizer.begin, min(tokenizer.vocab_size, model.config.vocab_size)
        order = Random(SEED).sample(range(count), count)
        ordinary = (each for each in order if each != tokenizer.unknown and not tokenizer.token(each).special)
        ids = list(islice(ordinary, REPEATED))
        if len(ids) < REPEATED or len(begin) + 2 * REPEATED > model.config.context:
            return None
        return cls(record(model.decoder, [*begin, *ids, *ids], "blocks.*.q", "blocks.*.k")[1], len(begin))

    def induction(self, decoder: Decoder, layer: int) -> Tensor:
        """(H,): the mean weight of each token of the second half on the token after its first occurrence, which is
        REPEATED − 1 tokens before it; NaN if the layer's window does not reach it."""
        window = decoder.config.window(layer)
        if window is not None and window < REPEATED:
            return torch.full((decoder.config.heads,), torch.nan)
        return _weights(decoder, self.tape, layer).diagonal(1 - REPEATED, 1, 2)[:, self.before + 1 :].mean(-1).cpu()
