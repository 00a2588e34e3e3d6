"""The key/value cache: fixed slots, one a sequence, so that sequences join, leave and grow independently.

`Slots` owns the memory; `slots.rows(slots, new)` is one forward pass over some of them, each by its own number of
tokens. Legend: S slots, C capacity (tokens a slot), B rows, T new tokens a row, L tokens to attend over,
K key/value heads, D head width.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from liuli.model.config import Config
from liuli.model.mask import AttentionMask


class Slots:
    """Keys and values of every layer in one tensor, `held` (layers, S, C + 1, 2, K, D): the last place of a slot takes what
    padding writes and is never read. The memory is zeroed, and touched only when used: what is masked still enters a sum,
    as 0 times what is there."""

    def __init__(self, config: Config, slots: int, capacity: int, device: torch.device | str, dtype: torch.dtype):
        shape = (config.layers, slots, capacity + 1, 2, config.kv_heads, config.head_width)
        self.capacity = capacity
        self.fill = [0] * slots  # tokens held by each slot
        self.held = torch.zeros(shape, device=device, dtype=dtype)
        # The same memory as tokens are written, a layer each (S · (C + 1), 2 · K, D), and as heads attend over it.
        self.places = self.held.flatten(3, 4).flatten(1, 2).unbind()
        self.heads = self.held.permute(3, 0, 1, 4, 2, 5)  # (2, layers, S, K, C + 1, D)

    def rows(self, slot_B: Sequence[int], new_B: Sequence[int]) -> "Rows":
        """A pass in which row b brings `new_B[b]` tokens (right-padded to the longest) to slot `slot_B[b]`."""
        return Rows(self, slot_B, new_B)

    def truncate(self, slot: int, length: int) -> None:
        """Forgets all but the first `length` tokens of a slot."""
        assert 0 <= length <= self.fill[slot]
        self.fill[slot] = length

    def clear(self, slot: int) -> None:
        """Forgets a slot whose numbers are broken: a NaN would reach the next sequence even behind the mask."""
        self.fill[slot] = 0
        self.held[:, slot] = 0

    def copy(self, source: int, target: int, length: int) -> None:
        """Makes `target` hold the first `length` tokens of `source`."""
        assert 0 <= length <= self.fill[source]
        self.held[:, target, :length] = self.held[:, source, :length]
        self.fill[target] = length


class Rows:
    """One pass over some slots.

    Attributes:
        index_BT: each token's place in its sequence; padding repeats the last real one.
        length: L, what the longest row attends over.
        plain: `attention_mask`'s answer if no mask is needed, else None.

    Raises:
        ValueError: a slot named twice, a row without tokens, or more tokens than the slot has room for.
    """

    def __init__(self, slots: Slots, slot_B: Sequence[int], new_B: Sequence[int]):
        starts = [slots.fill[slot] for slot in slot_B]
        ends = [start + new for start, new in zip(starts, new_B, strict=True)]
        if len(set(slot_B)) < len(slot_B) or min(new_B) < 1 or max(ends) > slots.capacity:
            raise ValueError(f"rows {list(slot_B)} cannot take {list(new_B)} tokens after {starts} of {slots.capacity}")
        self._slots, self._slot_B, self._ends = slots, slot_B, ends
        tokens, self.length, spill, device = max(new_B), max(ends), slots.capacity, slots.held.device
        index, places = [], []
        for slot, start, end in zip(slot_B, starts, ends, strict=True):
            index.append([min(start + t, end - 1) for t in range(tokens)])
            places.append([slot * (spill + 1) + (start + t if start + t < end else spill) for t in range(tokens)])
        self.index_BT, places_BT = int_tensor([index, places], device).unbind()
        self._places = places_BT.flatten()
        self.plain: AttentionMask | None = None
        if not any(starts):
            self.plain = None, True
        elif tokens == 1 and min(starts) == max(starts):
            self.plain = None, False
        first, count = slot_B[0], len(slot_B)
        self._chosen = None if list(slot_B) == list(range(first, first + count)) else torch.tensor(slot_B, device=device)
        if self._chosen is None:  # neighbours are looked at where they are, others gathered layer by layer
            keys, values = slots.heads[:, :, first : first + count, :, : self.length].unbind()
            self._keys, self._values = keys.unbind(), values.unbind()

    def extend(self, layer: int, k_BTKD: Tensor, v_BTKD: Tensor) -> tuple[Tensor, Tensor]:
        """Writes the new keys and values and returns all there are, (B, K, L, D) each."""
        self._slots.places[layer].index_copy_(0, self._places, torch.cat((k_BTKD, v_BTKD), 2).flatten(0, 1))
        if self._chosen is None:
            return self._keys[layer], self._values[layer]
        keys, values = self._slots.heads[:, layer, :, :, : self.length].index_select(1, self._chosen)
        return keys, values

    def commit(self) -> None:
        """Counts the new tokens as held; called when the pass has come to its end."""
        for slot, end in zip(self._slot_B, self._ends, strict=True):
            self._slots.fill[slot] = end


def int_tensor(rows: Sequence, device: torch.device) -> Tensor:
    """int64 from nested lists, by NumPy: `torch.tensor` takes twice as long."""
    return torch.from_numpy(np.array(rows, dtype=np.int64)).to(device)
