"""Finds the first tensor of a step that is not finite."""

from collections.abc import Iterable

import torch
from torch import Tensor

from liuli.data.packing.batch import Batch
from liuli.model.decoder import Decoder


class NotFinite(Exception):
    """A loss, a gradient or a weight is NaN or infinite. Nothing was updated or saved after it was noticed."""


def first_bad(decoder: Decoder, parts: Iterable[Batch]) -> str | None:
    """Names the first bad tensor in the order in which a step computes them: weights, activations (by the tap's names), logits,
    gradients. None if all are finite. Frozen weights were checked when they were read. `parts`: the rows of the step."""
    for name, parameter in decoder.named_parameters():
        if parameter.requires_grad and not _finite(parameter):
            return f"the weight {name}"
    found: list[str] = []

    def look(name: str, x: Tensor) -> Tensor:
        if not found and not _finite(x):
            found.append(f"the activation {name}")
        return x

    with torch.no_grad():
        for part in parts:
            x_BTD = decoder.hidden(*part.inputs, tap=look)
            if not found and not all(_finite(decoder.logits(x_TD)) for x_TD in x_BTD):
                found.append("the logits")
    gradients = [(name, parameter.grad) for name, parameter in decoder.named_parameters()]
    found += [f"the gradient of {name}" for name, grad in gradients if grad is not None and not _finite(grad)]
    return found[0] if found else None


def _finite(x: Tensor) -> bool:
    return bool(torch.isfinite(x).all())
