"""The key/value cache: fixed slots, one a sequence, so that sequences join, leave and grow independently.

`Slots` owns the memory; `slots.rows(slots, new)` is one forward pass over some of them, each by its own number of
tokens. Legend: S slots, C capacity (tokens a slot), B rows, T new tokens a row, L tokens to attend over,
K key/value heads, D head width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from liuli.model.config import Config


class Slots:
    """Keys and values of every layer, (S, C + 1, K, D) each: the last place takes what padding writes and is never
    read. The memory is zeroed, and touched only when used: what is masked still enters a sum, as 0 times what is there."""

    def __init__(self, config: Config, slots: int, capacity: int, device: torch.device | str, dtype: torch.dtype):
        shape = (slots, capacity + 1, config.kv_heads, config.head_width)
        self.capacity = capacity
        self.fill = [0] * slots  # tokens held by each slot
        self.keys = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.layers)]
        self.values = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.layers)]

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
        for layer in (*self.keys, *self.values):
            layer[slot] = 0

    def copy(self, source: int, target: int, length: int) -> None:
        """Makes `target` hold the first `length` tokens of `source`."""
        assert 0 <= length <= self.fill[source]
        for tensors in (self.keys, self.values):
            for layer in tensors:
                layer[target, :length] = layer[source, :length]
        self.fill[target] = length


class Rows:
    """One pass over some slots. `index_BT` is each token's place in its sequence; padding repeats the last real one.

    Raises:
        ValueError: a slot named twice, a row without tokens, or more tokens than the slot has room for.
    """

    def __init__(self, slots: Slots, slot_B: Sequence[int], new_B: Sequence[int]):
        starts = [slots.fill[slot] for slot in slot_B]
        ends = [start + new for start, new in zip(starts, new_B, strict=True)]
        if len(set(slot_B)) < len(slot_B) or min(new_B) < 1 or max(ends) > slots.capacity:
            raise ValueError(f"rows {list(slot_B)} cannot take {list(new_B)} tokens after {starts} of {slots.capacity}")
        self._slots, self._slot_B, self._ends = slots, slot_B, ends
        self.tokens, self.length = max(new_B), max(ends)
        self._from_zero = not any(starts)
        self._one_token_each = self.tokens == 1 and min(starts) == max(starts)
        device = slots.keys[0].device
        steps = range(self.tokens)
        index = [[min(start + t, end - 1) for t in steps] for start, end in zip(starts, ends, strict=True)]
        spill = slots.capacity
        places = [
            slot * (spill + 1) + (start + t if start + t < end else spill)
            for slot, start, end in zip(slot_B, starts, ends, strict=True)
            for t in steps
        ]
        self.index_BT = torch.tensor(index, device=device)
        self._places = torch.tensor(places, device=device)
        first = slot_B[0]
        in_order = list(slot_B) == list(range(first, first + len(slot_B)))
        self._run = slice(first, first + len(slot_B)) if in_order else None
        self._chosen = None if in_order else torch.tensor(slot_B, device=device)

    def extend(self, layer: int, k_BTKD: Tensor, v_BTKD: Tensor) -> tuple[Tensor, Tensor]:
        """Writes the new keys and values and returns all there are, (B, L, K, D) each."""
        return self._write(self._slots.keys[layer], k_BTKD), self._write(self._slots.values[layer], v_BTKD)

    def _write(self, held_SCKD: Tensor, new_BTKD: Tensor) -> Tensor:
        held_SCKD.flatten(0, 1).index_copy_(0, self._places, new_BTKD.flatten(0, 1))
        if self._run is not None:
            return held_SCKD[self._run, : self.length]
        assert self._chosen is not None
        return held_SCKD[:, : self.length].index_select(0, self._chosen)

    def visible(self, window: int | None) -> tuple[Tensor | None, bool]:
        """(mask (B, 1, T, L) that is True where a query sees a key, or None; whether plain causality says it all)."""
        if window is None or window >= self.length:
            if self._one_token_each:
                return None, False
            if self._from_zero:
                return None, True
        query_BT1 = self.index_BT[..., None]
        key_L = torch.arange(self.length, device=query_BT1.device)
        mask_BTL = key_L <= query_BT1
        if window is not None:
            mask_BTL &= key_L > query_BT1 - window
        return mask_BTL[:, None], False

    def commit(self) -> None:
        """Counts the new tokens as held; called when the pass has come to its end."""
        for slot, end in zip(self._slot_B, self._ends, strict=True):
            self._slots.fill[slot] = end
