"""Attention's core: softmax(q kᵀ / √D + mask) v.

Legend: B batch, T tokens, L tokens attended over, H query heads, K key/value heads, D width of a head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from liuli.model.cache import Visible

SHORT = 512  # tokens: up to here the T × L scores are small enough to be kept for the backward pass


def attend(q_BHTD: Tensor, k_BKLD: Tensor, v_BKLD: Tensor, visible: Visible, shared: bool) -> Tensor:
    """(B, H, T, D) in q's dtype. `shared`: H/K query heads share one key/value head.

    PyTorch's own kernel, except where a CPU learns in 16 bits: there its backward pass is slower than in fp32, and plain
    products with the softmax in fp32 between them take less than half the time of either (docs/lab-log.md).
    """
    if q_BHTD.dtype != torch.float32 and q_BHTD.is_cpu and torch.is_grad_enabled() and k_BKLD.shape[2] <= SHORT:
        return _by_products(q_BHTD, k_BKLD, v_BKLD, visible)
    mask, causal = visible
    return F.scaled_dot_product_attention(q_BHTD, k_BKLD, v_BKLD, attn_mask=mask, is_causal=causal, enable_gqa=shared)


def attention_dtype(on_cpu: bool, length: int, products: torch.dtype, weights: torch.dtype) -> torch.dtype:
    """What q, k and v are in, where products are in one dtype and weights in another: on the CPU the products' 16 bits pay
    for short rows only."""
    return weights if on_cpu and length > SHORT else products


def _by_products(q_BHTD: Tensor, k_BKLD: Tensor, v_BKLD: Tensor, visible: Visible) -> Tensor:
    shape, (rows, kv_heads, length, width) = q_BHTD.shape, k_BKLD.shape
    below = rows, kv_heads, -1  # the query heads that share a key/value head, one below the other
    mask, causal = visible
    if causal:
        mask = torch.ones(length, length, dtype=torch.bool).tril()[-shape[2] :]
    scores_BHTL = ((q_BHTD * width**-0.5).reshape(*below, width) @ k_BKLD.mT).view(*shape[:3], length).float()
    if mask is not None:
        scores_BHTL.add_(torch.zeros(mask.shape).masked_fill_(~mask, -torch.inf))
    weights_BHTL = scores_BHTL.softmax(-1).to(v_BKLD.dtype)
    return (weights_BHTL.view(*below, length) @ v_BKLD).view(shape)
