"""Which tensor of a step was the first that is not finite."""

from collections.abc import Iterable

import torch
from torch import Tensor

from liuli.data.packing.batch import Batch
from liuli.model.decoder import Decoder


class NotFinite(Exception):
    """A loss, a gradient or a weight that is NaN or infinite; nothing was updated since it was noticed, and nothing saved."""


def first_bad(decoder: Decoder, parts: Iterable[Batch]) -> str | None:
    """In the order in which a step makes them: weights, activations (by the tap's names), logits, gradients; None where all are
    finite. Frozen weights were checked when they were read. `parts`: the rows of the step."""
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
