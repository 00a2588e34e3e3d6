"""A slot: a layer of the decoder together with the modules of the adapters that change it. At most one adapter is active."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from liuli.model.decoder import Decoder
from liuli.model.linear import Embedding, Layer, Linear


class AdapterSlot(Layer):
    """Replaces a layer, which becomes its `base`.

    Attributes:
        adapters: each adapter's module in this slot, by the adapter's name.
        active_name: the active adapter's name. If it is None, or if that adapter has no module in this slot, the slot computes
            exactly what the base does.
    """

    def __init__(self, base: Any):
        super().__init__()
        self.base = base
        self.adapters: dict[str, Any] = {}  # an adapter may have any name; an nn.ModuleDict refuses some
        self.parts = nn.ModuleList()  # the same modules, for PyTorch; saved runs have `parts` in their parameter names
        self.active_name: str | None = None

    def add(self, name: str, module: nn.Module) -> None:
        """Adds an adapter's module to the slot."""
        self.adapters[name] = module
        self.parts.append(module)

    @property
    def active(self) -> Any:
        """The active adapter's module in this slot, or None if there is none."""
        return None if self.active_name is None else self.adapters.get(self.active_name)


class LinearSlot(AdapterSlot):
    """Replaces a `Linear`."""

    base: Linear

    def __init__(self, base: Linear):
        super().__init__(base)
        self.inputs, self.outputs = base.inputs, base.outputs

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its outputs."""
        return self.base.dtype


class EmbeddingSlot(AdapterSlot):
    """Replaces the embedding, ids (...) int64 -> (..., D). An adapter's module is a `TokenRows` or an `OwnTable`."""

    base: Embedding

    def forward(self, ids: Tensor) -> Tensor:
        return self.base(ids) if self.active is None else self.active.embed(ids, self.base)

    __call__ = forward

    def dense(self) -> Tensor:
        """The effective table, fp32 (V, D)."""
        return self.base.dense() if self.active is None else self.active.replaced_in(self.base.dense())

    def rows(self, ids: Sequence[int]) -> Tensor:
        """Some rows of the table as the decoder reads them, fp32 (len(ids), D)."""
        return self(torch.tensor(list(ids), device=self.base.rows([0]).device)).detach().float()

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its outputs."""
        return self.base.dtype


class HeadSlot(LinearSlot):
    """Replaces the head, x (..., D) -> (..., V). An adapter's module is a `TokenRows` or an `OwnTable`."""

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) if self.active is None else self.active.logits(x.to(self.base.dtype), self.base)

    __call__ = forward

    def dense(self) -> Tensor:
        """The effective matrix, fp32 (V, D)."""
        return self.base.dense() if self.active is None else self.active.replaced_in(self.base.dense())


def adapter_slots(decoder: Decoder) -> dict[str, AdapterSlot]:
    """Returns all slots, by their names in the decoder."""
    return {path: module for path, module in decoder.named_modules() if isinstance(module, AdapterSlot)}
