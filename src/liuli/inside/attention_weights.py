"""Attention weights, computed again from the queries and keys of a tape: the decoder itself never stores them.

Legend of shape suffixes: T tokens, H query heads, K key/value heads, D width (of a head, or of the model).
"""

import torch
from torch import Tensor

from liuli.model.attention import repeat_heads
from liuli.model.decoder import Block, Decoder
from liuli.model.mask import attention_mask


@torch.inference_mode()
def attention_weights(decoder: Decoder, layer: int, q_THD: Tensor, k_TKD: Tensor) -> Tensor:
    """Returns softmax(s q kᵀ + mask) of every head, fp32 (H, Q, T): row i is what query i reads from tokens 0 to its own.

    Args:
        q_THD: the queries of the last Q of the T tokens; of all of them, or only of those that are looked at.
    """
    config, tokens = decoder.config, len(k_TKD)
    q_HTD = q_THD.float().transpose(0, 1)
    k_HTD = repeat_heads(k_TKD.float().transpose(0, 1)[None], config.heads)[0]
    index_1T = torch.arange(tokens - len(q_THD), tokens, device=q_THD.device)[None]
    seen_11TT = attention_mask(index_1T, tokens, None, config.window(layer), None)[0]
    assert seen_11TT is not None
    scores_HTT = q_HTD @ k_HTD.mT * config.score_scale
    return scores_HTT.masked_fill_(~seen_11TT[0], -torch.inf).softmax(-1)


@torch.inference_mode()
def head_outputs(weights_HTT: Tensor, v_TKD: Tensor) -> Tensor:
    """Returns the weighted sums of values, (T, H·D): what the decoder's point `heads` holds."""
    v_HTD = repeat_heads(v_TKD.float().transpose(0, 1)[None], len(weights_HTT))[0]
    return (weights_HTT @ v_HTD).transpose(0, 1).flatten(1)


@torch.inference_mode()
def value_sizes(decoder: Decoder, layer: int, v_TKD: Tensor) -> Tensor:
    """Returns ‖W_O v‖ of every head and token, fp32 (H, T): the size of what a head reads from a token with weight 1 (Kobayashi
    et al. 2020, https://arxiv.org/abs/2004.10102). It is what is added to the residual stream, except if a norm follows
    (`post_norms`, Gemma 3)."""
    config = decoder.config
    block = decoder.blocks[layer]
    assert isinstance(block, Block)
    out_DHd = block.attention.out.dense().view(config.width, config.heads, config.head_width)
    v_HTd = repeat_heads(v_TKD.float().transpose(0, 1)[None], config.heads)[0]
    return torch.stack([(v_HTd[head] @ out_DHd[:, head].T).norm(dim=-1) for head in range(config.heads)])
