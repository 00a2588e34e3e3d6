"""The key/value cache. Each sequence has its own slot, so that sequences can be added, removed and extended independently.

`KVCache` owns the memory. `cache.rows(slots, new)` describes one forward pass over some of its slots, with a number of new
tokens for each.

Legend of shape suffixes: S slots, C capacity (tokens per slot), B rows, T new tokens per row, L tokens attended over,
K key/value heads, D head width.
"""

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from liuli.model.config import Config
from liuli.model.mask import AttentionMask


def bytes_per_token(config: Config, dtype: torch.dtype) -> int:
    """Returns the memory of one token's keys and values in all layers, in bytes."""
    return 2 * config.layers * config.kv_heads * config.head_width * dtype.itemsize


def default_budget(device: torch.device) -> int:
    """Returns half of the memory that a cache on this device could use, in bytes: half of the free memory of a CUDA GPU, half
    of the computer's memory for other devices."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (free + unused) // 2
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


class KVCache:
    """The keys and values of every layer. It is not differentiable: a pass with a cache runs without gradients.

    Padding is written to the last position of a slot, which is never read. The memory is filled with zeros, because a masked
    value still enters a sum as 0 times its content, and 0 times NaN would be NaN.

    Attributes:
        slots: the number of slots, S.
        capacity: the number of tokens per slot, C.
        fill: the number of tokens in each slot.
        held: one tensor (S, C + 1, 2, K, D) per layer.
        places: the same memory as (S · (C + 1), 2 · K, D).
    """

    def __init__(self, config: Config, slots: int, capacity: int, device: torch.device | str, dtype: torch.dtype):
        self._token_shape = (2, config.kv_heads, config.head_width)
        self._device = device
        self._dtype = dtype
        self.slots = slots
        self.capacity = capacity
        self.fill = [0] * slots
        self.held = [self._zeros() for _ in range(config.layers)]
        self.places = self._as_places()
        self._views: _Views | None = None

    @property
    def nbytes(self) -> int:
        return sum(layer.nbytes for layer in self.held)

    def resize(self, slots: int, capacity: int) -> None:
        """Changes the number of slots and of tokens per slot. The cached tokens are kept.

        The layers are copied one after the other, so that the old and the new memory of only one layer exist at once.
        """
        assert not any(self.fill[slots:]) and max(self.fill, default=0) <= capacity
        self._views = None  # views would keep the old memory
        self.places = []
        self.slots = slots
        self.capacity = capacity
        self.fill = (self.fill + [0] * slots)[:slots]
        for layer in range(len(self.held)):
            self.held[layer] = self._moved(self.held[layer])
        self.places = self._as_places()

    def rows(self, slot_B: Sequence[int], new_B: Sequence[int]) -> "CacheRows":
        """Returns a pass that adds `new_B[b]` tokens (right-padded to the longest) to slot `slot_B[b]`, for each row b."""
        return CacheRows(self, slot_B, new_B)

    def views(self, first: int, count: int) -> "_Views":
        """Returns the memory of `count` consecutive slots. The last result is kept, because most passes use the same slots as
        the pass before."""
        if self._views is None or (self._views.first, self._views.count) != (first, count):
            self._views = _Views(self.held, first, count)
        return self._views

    def truncate(self, slot: int, length: int) -> None:
        """Removes all tokens of a slot except the first `length`."""
        assert 0 <= length <= self.fill[slot]
        self.fill[slot] = length

    def clear(self, slot: int) -> None:
        """Empties a slot and fills it with zeros. This is needed after a NaN, which would reach the next sequence in spite of
        the mask."""
        self.fill[slot] = 0
        for layer in self.held:
            layer[slot] = 0

    def copy(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` tokens of the slot `source` to the slot `target`."""
        assert 0 <= length <= self.fill[source]
        for layer in self.held:
            layer[target, :length] = layer[source, :length]
        self.fill[target] = length

    def _zeros(self) -> Tensor:
        shape = (self.slots, self.capacity + 1, *self._token_shape)
        return torch.zeros(shape, device=self._device, dtype=self._dtype)

    def _as_places(self) -> list[Tensor]:
        return [layer.flatten(2, 3).flatten(0, 1) for layer in self.held]

    def _moved(self, old: Tensor) -> Tensor:
        new = self._zeros()
        for slot, fill in enumerate(self.fill):
            if fill:
                new[slot, :fill] = old[slot, :fill]
        return new


class _Views:
    """The memory of `count` slots, starting with `first`, for each layer.

    Attributes:
        keys, values: (count, K, C + 1, D), as attention reads them.
        tokens: (count, C + 1, 2 · K, D), as they are written.
    """

    def __init__(self, held: Sequence[Tensor], first: int, count: int):
        self.first = first
        self.count = count
        some = [layer[first : first + count] for layer in held]
        self.keys = [layer[:, :, 0].transpose(1, 2) for layer in some]
        self.values = [layer[:, :, 1].transpose(1, 2) for layer in some]
        self.tokens = [layer.flatten(2, 3) for layer in some]


class CacheRows:
    """One pass over some slots.

    Attributes:
        index_BT: each token's position in its sequence; padding has that of the last real token.
        length: L, the number of tokens that the longest row attends over.
        plain: the result of `attention_mask` if no mask is needed, else None.

    Raises:
        ValueError: a slot is named twice, a row has no tokens, or a slot has not enough room for the new tokens.
    """

    def __init__(self, cache: KVCache, slot_B: Sequence[int], new_B: Sequence[int]):
        starts = [cache.fill[slot] for slot in slot_B]
        ends = [start + new for start, new in zip(starts, new_B, strict=True)]
        if len(set(slot_B)) < len(slot_B) or min(new_B) < 1 or max(ends) > cache.capacity:
            raise ValueError(f"rows {list(slot_B)} cannot take {list(new_B)} tokens after {starts} of {cache.capacity}")
        self._cache = cache
        self._slot_B = slot_B
        self._start = starts[0]
        self._ends = ends
        self._tokens = max(new_B)
        self.length = max(ends)
        first = slot_B[0]
        count = len(slot_B)
        alike = min(starts) == max(starts) and min(new_B) == max(new_B)
        neighbours = list(slot_B) == list(range(first, first + count))
        device = cache.held[0].device
        self._on_cpu = device.type == "cpu"

        self.plain: AttentionMask | None = None
        if not any(starts):
            self.plain = None, True
        elif self._tokens == 1 and alike:
            self.plain = None, False
        # Consecutive slots are read without a copy; other slots are copied layer by layer.
        self._views = cache.views(first, count) if neighbours else None
        self._chosen = None if neighbours else torch.tensor(slot_B, device=device)
        # If all rows have the same start and length, the new tokens are one block with equal strides and are written at once.
        self._as_block = neighbours and alike and self._on_cpu
        index = [[min(start + t, end - 1) for t in range(self._tokens)] for start, end in zip(starts, ends, strict=True)]
        if self._as_block:
            self.index_BT = int_tensor(index, device)
        else:
            self.index_BT, places_BT = int_tensor([index, self._places(starts)], device).unbind()
            self._places_N = places_BT.flatten()

    def extend(self, layer: int, k_BTKD: Tensor, v_BTKD: Tensor) -> tuple[Tensor, Tensor]:
        """Writes the new keys and values of a layer. Returns all its keys and values, (B, K, L, D) each."""
        if self._as_block and self._views is not None:
            block = self._views.tokens[layer].narrow(1, self._start, self._tokens)
            torch.cat((k_BTKD, v_BTKD), 2, out=block)
        else:
            self._scatter(self._cache.places[layer], torch.cat((k_BTKD, v_BTKD), 2))
        if self._views is not None:
            keys = self._views.keys[layer].narrow(2, 0, self.length)
            values = self._views.values[layer].narrow(2, 0, self.length)
            return keys, values
        assert self._chosen is not None
        # Select along the first dimension: along another one, PyTorch would first copy the memory of all slots.
        held_BL2KD = self._cache.held[layer][:, : self.length].index_select(0, self._chosen)
        return held_BL2KD[:, :, 0].transpose(1, 2), held_BL2KD[:, :, 1].transpose(1, 2)

    def commit(self) -> None:
        """Adds the new tokens to the number of tokens in their slots. It is called at the end of the pass."""
        for slot, end in zip(self._slot_B, self._ends, strict=True):
            self._cache.fill[slot] = end

    def _scatter(self, places: Tensor, new_BTKD: Tensor) -> None:
        if self._on_cpu:
            places.index_copy_(0, self._places_N, new_BTKD.flatten(0, 1))  # half the time of an index assignment
        else:
            places[self._places_N] = new_BTKD.flatten(0, 1)  # MPS has no index_copy_ in PyTorch 2.6 and 2.7

    def _places(self, starts: Sequence[int]) -> list[list[int]]:
        """Returns the index at which each token is written, counted over the positions of all slots. Padding is written to the
        last position of its slot."""
        spill = self._cache.capacity
        found = []
        for slot, start, end in zip(self._slot_B, starts, self._ends, strict=True):
            first = slot * (spill + 1)
            found.append([first + (start + t if start + t < end else spill) for t in range(self._tokens)])
        return found


def int_tensor(rows: Sequence, device: torch.device) -> Tensor:
    """Returns an int64 tensor from nested lists. It uses NumPy, because `torch.tensor` takes twice as long."""
    return torch.from_numpy(np.array(rows, dtype=np.int64)).to(device)
