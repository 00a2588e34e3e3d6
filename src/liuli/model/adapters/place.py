"""A place: a layer of the decoder, and over it adapters side by side, each with a part of its own. One counts, or none."""

from typing import Any

import torch
from torch import nn

from liuli.model.decoder import Decoder
from liuli.model.linear import Layer, Linear


class Place(Layer):
    """Stands where the layer stood, which is its `base`. `used`: the name of the adapter that counts; None, or one that has no
    part here: the base alone, to the bit."""

    def __init__(self, base: Any):
        super().__init__()
        self.base = base
        self.adapters: dict[str, Any] = {}  # any name goes, as an nn.ModuleDict's does not
        self.parts = nn.ModuleList()  # the same, so that PyTorch knows of them
        self.used: str | None = None

    def open(self, name: str, part: nn.Module) -> None:
        """Lays an adapter's part over the base."""
        self.adapters[name] = part
        self.parts.append(part)

    @property
    def part(self) -> Any:
        """What counts; None: nothing but the base."""
        return None if self.used is None else self.adapters.get(self.used)


class LinearPlace(Place):
    """A `Linear`'s place."""

    base: Linear

    def __init__(self, base: Linear):
        super().__init__(base)
        self.inputs, self.outputs = base.inputs, base.outputs

    @property
    def dtype(self) -> torch.dtype:
        """What its outputs are in."""
        return self.base.dtype


def places(decoder: Decoder) -> dict[str, Place]:
    """By their names in the decoder."""
    return {path: module for path, module in decoder.named_modules() if isinstance(module, Place)}
