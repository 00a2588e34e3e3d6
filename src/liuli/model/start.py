"""Weights to learn from: what a decoder is before its first step.

Random, but for two heads that make an induction circuit: where a text says again what it said before, they let the model say
what came next then. It forms by itself in every language model, but only after hundreds of millions of tokens; here it is
there from the first step, in weights like any others, which learning keeps because they help at once (docs/lab-log.md).
Sources: Olsson et al. 2022, https://arxiv.org/abs/2209.11895 (induction heads); Trockman and Kolter 2023,
https://arxiv.org/abs/2305.09828 (weights that begin with the structure that training finds).

Legend: D width, H a head's width, P the pairs of numbers in it that are turned by the position.
"""

import torch
from torch import Tensor

from liuli.model.decoder import Block, Decoder
from liuli.model.linear import LayerNorm, Linear, RMSNorm
from liuli.model.rotary import frequencies

DEVIATION = 0.1  # of the embedding
CONSTANT = 4 * DEVIATION  # one number of every token's vector, by which a head can look at a place whatever stands there
WRITTEN = 2 * DEVIATION  # how strongly the two heads write, beside the embedding
SCORE = 8.0  # what attention gives the place that such a head looks for
OWN = 6.4  # a token's own logit, at first: a tied head would else say again what it reads, the surer the wider the model
FAST = 4  # pairs that turn fastest: together they know one place from the next


def start(decoder: Decoder, seed: int) -> None:
    """Normal numbers, with a deviation of 1/√inputs; what adds to the residual is zero, so that a block begins as nothing, but
    for the induction circuit. The same for a seed on every machine and device."""
    random = torch.Generator("cpu").manual_seed(seed)
    deviation = DEVIATION / (decoder.config.embedding_scale or 1.0)
    decoder.embedding.start(deviation, random)
    if decoder.positions is not None:
        decoder.positions.start(DEVIATION, random)
    for module in decoder.blocks.modules():
        if isinstance(module, Linear):
            module.start(module.inputs**-0.5, random)
        elif isinstance(module, (RMSNorm, LayerNorm)):
            module.start()
    for block in _blocks(decoder):
        if block.attention_post_norm is not None and block.feed_forward_post_norm is not None:
            block.attention_post_norm.start(0.0)
            block.feed_forward_post_norm.start(0.0)
        else:
            block.attention.out.start(0.0, random)
            block.feed_forward.down.start(0.0, random)
    decoder.norm.start()
    if decoder.config.tied:
        decoder.norm.start(OWN / (deviation * decoder.config.width))
    else:
        decoder.head.start(0.0, random)
    if has_room(decoder):
        with torch.no_grad():
            _induction(decoder, random)


def has_room(decoder: Decoder) -> bool:
    """Whether the circuit fits: two blocks, positions that turn, heads whose outputs no norm changes, and in the residual a
    head's width for what stands here and as much for what stood before."""
    config, head_width = decoder.config, decoder.config.head_width
    heads_fit = config.rotary and not config.post_norms and head_width >= 4
    return heads_fit and config.layers > 1 and config.width >= 2 * head_width


def _induction(decoder: Decoder, random: torch.Generator) -> None:
    """Block 0's first head looks one token back, and writes what stood there into directions of its own; block 1's looks for
    places before which the present token stood, and says what stands there."""
    width = decoder.config.head_width
    (look_back, find, *_) = (block.attention for block in _blocks(decoder))
    decoder.embedding.weight[:, 0] = CONSTANT
    here_HD, before_HD = torch.linalg.qr(torch.randn(decoder.config.width, 2 * width, generator=random))[0].T.split(width)
    here_HD[:, 0] = before_HD[:, 0] = 0

    query_H, key_H = _one_back(frequencies(width, decoder.config.rope_theta, decoder.config.rope_scaling))
    look_back.q.weight[:width] = look_back.k.weight[:width] = 0
    strength = (SCORE * width**0.5) ** 0.5 / (CONSTANT / DEVIATION)
    look_back.q.weight[:width, 0], look_back.k.weight[:width, 0] = strength * query_H, strength * key_H
    look_back.v.weight[:width], look_back.out.weight[:, :width] = here_HD, WRITTEN * before_HD.T

    pairs = width // 2
    slow = [*range(pairs // 2, pairs), *range(pairs + pairs // 2, width)]  # hardly turned: they compare tokens at any distance
    strength = (SCORE * width**0.5 / len(slow)) ** 0.5
    find.q.weight[:width] = find.k.weight[:width] = 0
    find.q.weight[slow], find.k.weight[slow] = strength * here_HD[: len(slow)], strength * before_HD[: len(slow)]
    find.v.weight[:width], find.out.weight[:, :width] = here_HD, WRITTEN * here_HD.T

    for attention in (look_back, find):
        if attention.q_norm is not None:  # which leaves no other way to a score
            attention.q_norm.start(SCORE / width**0.5)


def _one_back(turns_P: Tensor) -> tuple[Tensor, Tensor]:
    """A query and a key, of norm 1, that fit best where the key stands one place before the query."""
    pairs, fast = len(turns_P), min(FAST, len(turns_P) // 2)
    query_H, key_H = torch.zeros(2 * pairs), torch.zeros(2 * pairs)
    key_H[:fast] = fast**-0.5
    query_H[:fast], query_H[pairs : pairs + fast] = (f(turns_P[:fast]) * fast**-0.5 for f in (torch.cos, lambda x: -x.sin()))
    return query_H, key_H


def _blocks(decoder: Decoder) -> list[Block]:
    return [block for block in decoder.blocks if isinstance(block, Block)]
