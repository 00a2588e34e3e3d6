"""Which keys each query attends to.

Legend: B batch, T tokens, L tokens attended over.
"""

import torch
from torch import Tensor

# (mask (B, 1, T, L), True if a query sees a key, or None; whether causality alone describes it). Both are arguments of
# PyTorch's `scaled_dot_product_attention`.
AttentionMask = tuple[Tensor | None, bool]


def attention_mask(
    index_BT: Tensor, length: int, segments_BT: Tensor | None, window: int | None, unmasked: AttentionMask | None
) -> AttentionMask:
    """Each token sees itself and the tokens before it, within its own segment and at most `window` tokens back (itself
    included).

    Args:
        index_BT: int64, the place of each token among the `length` tokens that are attended over.
        segments_BT: int64, the segment of each token; None: each row is one segment.
        window: in tokens; None: no limit.
        unmasked: the answer if the window excludes nothing; None: a mask is needed in any case.
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
