"""Attention's core: softmax(s q kᵀ + mask) v, where s is 1/√D in most families.

Legend: B batch, T tokens, L tokens attended over, H query heads, K key/value heads, D width of a head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from liuli.model.mask import AttentionMask

SHORT = 512  # tokens; for rows up to this length, the T × L scores are small enough to be kept for the backward pass


def attend(
    q_BHTD: Tensor, k_BKLD: Tensor, v_BKLD: Tensor, mask: AttentionMask, shared: bool, scale: float | None = None
) -> Tensor:
    """Returns the outputs of the heads, (B, H, T, D), in q's dtype.

    It uses PyTorch's kernel, except for 16-bit training on a CPU. There the kernel's backward pass is slower than in fp32, and
    plain matrix multiplications with an fp32 softmax between them take less than half the time (docs/lab-log.md).

    Args:
        shared: whether H/K query heads share one key/value head.
        scale: the factor of the scores; None: 1/√D.
    """
    if q_BHTD.dtype != torch.float32 and q_BHTD.is_cpu and torch.is_grad_enabled() and k_BKLD.shape[2] <= SHORT:
        return _by_products(q_BHTD, k_BKLD, v_BKLD, mask, scale)
    mask_B1TL, causal = mask
    if needs_own_heads(q_BHTD.is_cuda, shared, mask_B1TL is not None):
        k_BKLD, v_BKLD, shared = repeat_heads(k_BKLD, q_BHTD.shape[1]), repeat_heads(v_BKLD, q_BHTD.shape[1]), False
    return F.scaled_dot_product_attention(
        q_BHTD, k_BKLD, v_BKLD, attn_mask=mask_B1TL, is_causal=causal, scale=scale, enable_gqa=shared
    )


def needs_own_heads(on_cuda: bool, shared: bool, masked: bool) -> bool:
    """Returns whether every query head needs its own copy of the keys and values.

    On CUDA, no efficient kernel supports a mask together with shared key/value heads, so PyTorch would use the kernel that
    writes all T × L scores to memory. With copies, the memory-efficient kernel can be used. The CPU's kernel supports both.
    """
    return on_cuda and shared and masked


def repeat_heads(x_BKLD: Tensor, heads: int) -> Tensor:
    """Returns (B, H, L, D): each key/value head is repeated for every query head that shares it."""
    groups = heads // x_BKLD.shape[1]
    return x_BKLD[:, :, None].expand(-1, -1, groups, -1, -1).flatten(1, 2)


def attention_dtype(on_cpu: bool, length: int, products: torch.dtype, weights: torch.dtype) -> torch.dtype:
    """Returns the dtype of q, k and v. On the CPU, 16 bits are faster only for short rows.

    Args:
        products: the dtype of matrix multiplications.
        weights: the dtype of the residual stream.
    """
    return weights if on_cpu and length > SHORT else products


def _by_products(q_BHTD: Tensor, k_BKLD: Tensor, v_BKLD: Tensor, mask: AttentionMask, scale: float | None = None) -> Tensor:
    shape, (rows, kv_heads, length, width) = q_BHTD.shape, k_BKLD.shape
    below = rows, kv_heads, -1  # the rows of the query heads that share a key/value head are joined
    mask_B1TL, causal = mask
    if causal:
        mask_B1TL = torch.ones(length, length, dtype=torch.bool).tril()[-shape[2] :]
    scores_BHTL = ((q_BHTD * (scale or width**-0.5)).reshape(*below, width) @ k_BKLD.mT).view(*shape[:3], length).float()
    if mask_B1TL is not None:
        scores_BHTL.add_(torch.zeros(mask_B1TL.shape).masked_fill_(~mask_B1TL, -torch.inf))
    weights_BHTL = scores_BHTL.softmax(-1).to(v_BKLD.dtype)
    return (weights_BHTL.view(*below, length) @ v_BKLD).view(shape)
