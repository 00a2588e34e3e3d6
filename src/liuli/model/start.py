"""The initial weights of a decoder, before its first training step.

They are random, except for two heads that form an induction circuit. If a token occurred before in the text, these heads
predict the token that followed it then. Such a circuit forms by itself in every language model, but only after hundreds of
millions of tokens. Here it exists from the first step. Its weights are ordinary parameters; training keeps them because they
help from the beginning (docs/lab-log.md).
Sources: Olsson et al. 2022, https://arxiv.org/abs/2209.11895 (induction heads); Trockman and Kolter 2023,
https://arxiv.org/abs/2305.09828 (initial weights with the structure that training finds).

Legend: D width, H a head's width, P the pairs of numbers in a head that are rotated by the position.
"""

import torch
from torch import Tensor

from liuli.model.decoder import Block, Decoder
from liuli.model.linear import LayerNorm, Linear, RMSNorm
from liuli.model.rotary import frequencies

DEVIATION = 0.1  # the standard deviation of the embedding
CONSTANT = 4 * DEVIATION  # one number that all token vectors share, so that a head can find a position whatever its token is
WRITTEN = 2 * DEVIATION  # the size of what the two heads write to the residual stream; compare DEVIATION
SCORE = 8.0  # the attention score of the position that such a head looks for
OWN = 6.4  # a token's own initial logit. Otherwise a tied head would predict the current token again, more so in a wider model
FAST = 4  # the number of the fastest pairs, which together distinguish neighbouring positions


def start(decoder: Decoder, seed: int) -> None:
    """Initialises a decoder with normal numbers of standard deviation 1/√inputs. The projections that add to the residual
    stream are zero, so that a block at first changes nothing, except for the induction circuit. The same seed gives the same
    weights on every machine and device."""
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
    """Returns whether the decoder has room for the circuit: two blocks, rotary positions, no norm after attention, and a width
    of at least two heads: one for the current token and one for the token before."""
    config, head_width = decoder.config, decoder.config.head_width
    heads_fit = config.rotary and not config.post_norms and head_width >= 4
    return heads_fit and config.layers > 1 and config.width >= 2 * head_width


def _induction(decoder: Decoder, random: torch.Generator) -> None:
    """Sets the weights of the induction circuit. The first head of block 0 attends to the previous token and writes it into
    separate directions of the residual stream. The first head of block 1 attends to positions whose previous token was the
    current token, and predicts the token at these positions."""
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
    slow = [*range(pairs // 2, pairs), *range(pairs + pairs // 2, width)]  # nearly unrotated: compare tokens at any distance
    strength = (SCORE * width**0.5 / len(slow)) ** 0.5
    find.q.weight[:width] = find.k.weight[:width] = 0
    find.q.weight[slow], find.k.weight[slow] = strength * here_HD[: len(slow)], strength * before_HD[: len(slow)]
    find.v.weight[:width], find.out.weight[:, :width] = here_HD, WRITTEN * here_HD.T

    for attention in (look_back, find):
        if attention.q_norm is not None:  # then only the norm's factor can set the score
            attention.q_norm.start(SCORE / width**0.5)


def _one_back(turns_P: Tensor) -> tuple[Tensor, Tensor]:
    """Returns a query and a key of norm 1 whose score is largest if the key is one position before the query."""
    pairs, fast = len(turns_P), min(FAST, len(turns_P) // 2)
    query_H, key_H = torch.zeros(2 * pairs), torch.zeros(2 * pairs)
    key_H[:fast] = fast**-0.5
    query_H[:fast], query_H[pairs : pairs + fast] = (f(turns_P[:fast]) * fast**-0.5 for f in (torch.cos, lambda x: -x.sin()))
    return query_H, key_H


def _blocks(decoder: Decoder) -> list[Block]:
    return [block for block in decoder.blocks if isinstance(block, Block)]
