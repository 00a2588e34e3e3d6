"""The attention mask: which keys each query attends to.

Legend: B batch, T tokens, L tokens attended over.
"""

import torch
from torch import Tensor

# (attn_mask, is_causal) of PyTorch's `scaled_dot_product_attention`: a bool mask (B, 1, T, L) that is True if a query sees a
# key, or None; and whether each query sees all keys up to its own position, so that no mask is needed.
AttentionMask = tuple[Tensor | None, bool]


def attention_mask(
    index_BT: Tensor, length: int, segments_BT: Tensor | None, window: int | None, unmasked: AttentionMask | None
) -> AttentionMask:
    """Returns the mask with which each token sees itself and earlier tokens, but only those in its own segment, and only the
    last `window` tokens, including itself.

    Args:
        index_BT: int64, the index of each token among the `length` tokens that are attended over.
        segments_BT: int64, the segment of each token; None: each row is one segment.
        window: in tokens; None: no limit.
        unmasked: returned if the window excludes nothing; None: a mask is always needed.
    """
    if unmasked is not None and (window is None or window >= length):
        return unmasked
    back_BTL = index_BT[..., None] - torch.arange(length, device=index_BT.device)
    mask_BTL = back_BTL >= 0
    if window is not None:
        mask_BTL &= back_BTL < window
    if segments_BT is not None:
        mask_BTL = mask_BTL & (segments_BT[:, :, None] == segments_BT[:, None, :])
    return mask_BTL[:, None], False
