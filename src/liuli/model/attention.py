"""Attention's core: softmax(s q kᵀ + mask) v, where s is 1/√D in most families.

Legend: B batch, T tokens, L tokens attended over, H query heads, K key/value heads, D width of a head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from liuli.model.mask import AttentionMask

SHORT = 512  # tokens: up to here the T × L scores are small enough to be kept for the backward pass


def attend(
    q_BHTD: Tensor, k_BKLD: Tensor, v_BKLD: Tensor, mask: AttentionMask, shared: bool, scale: float | None = None
) -> Tensor:
    """(B, H, T, D) in q's dtype.

    Args:
        shared: H/K query heads share one key/value head.
        scale: of the scores; None: 1/√D.

    PyTorch's own kernel, except when a CPU learns in 16 bits: there its backward pass is slower than in fp32, and plain
    matrix multiplications with the softmax in fp32 between them take less than half the time of either (docs/lab-log.md).
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
    """Whether every query head must get its own copy of the keys and values it attends to.

    On CUDA no efficient kernel takes a mask together with shared key/value heads, so PyTorch would choose the one that writes
    all T × L scores to memory. With copies the memory-efficient kernel takes the mask. The CPU's kernel takes both.
    """
    return on_cuda and shared and masked


def repeat_heads(x_BKLD: Tensor, heads: int) -> Tensor:
    """(B, H, L, D): each key/value head once per query head that shares it, side by side."""
    groups = heads // x_BKLD.shape[1]
    return x_BKLD[:, :, None].expand(-1, -1, groups, -1, -1).flatten(1, 2)


def attention_dtype(on_cpu: bool, length: int, products: torch.dtype, weights: torch.dtype) -> torch.dtype:
    """The dtype of q, k and v if matrix multiplications are in one dtype and the residual stream is in another: on the CPU 16
    bits are faster for short rows only."""
    return weights if on_cpu and length > SHORT else products


def _by_products(q_BHTD: Tensor, k_BKLD: Tensor, v_BKLD: Tensor, mask: AttentionMask, scale: float | None = None) -> Tensor:
    shape, (rows, kv_heads, length, width) = q_BHTD.shape, k_BKLD.shape
    below = rows, kv_heads, -1  # the query heads that share a key/value head, one below the other
    mask_B1TL, causal = mask
    if causal:
        mask_B1TL = torch.ones(length, length, dtype=torch.bool).tril()[-shape[2] :]
    scores_BHTL = ((q_BHTD * (scale or width**-0.5)).reshape(*below, width) @ k_BKLD.mT).view(*shape[:3], length).float()
    if mask_B1TL is not None:
        scores_BHTL.add_(torch.zeros(mask_B1TL.shape).masked_fill_(~mask_B1TL, -torch.inf))
    weights_BHTL = scores_BHTL.softmax(-1).to(v_BKLD.dtype)
    return (weights_BHTL.view(*below, length) @ v_BKLD).view(shape)
