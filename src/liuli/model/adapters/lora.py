"""LoRA: a projection learns as a small product beside its matrix, which stays as it is.

    y = W x + (alpha / rank) · B A dropout(x)

A is (rank, inputs), B (outputs, rank) and zero at first, so that learning begins from the base itself. Only they want a
gradient and an optimiser's state, and what was learned is a small file (`adapter.py`).
Source: Hu et al. 2021, https://arxiv.org/abs/2106.09685; how A begins is as in PEFT, https://github.com/huggingface/peft.

An adapter is the A and B of all projections that it is at, and rows of the embedding if it names tokens (`token_rows.py`).
Several may be open over one base; one of them, or none, is in use.

Legend: I inputs, O outputs, R rank.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from liuli.errors import LiuliError
from liuli.fields import Record, check, is_number, is_positive, is_size
from liuli.model.adapters.place import LinearPlace, Place, places
from liuli.model.adapters.token_rows import RowsEmbedding, RowsHead, TokenRows, are_tokens, base_rows
from liuli.model.decoder import Decoder
from liuli.model.formats.families import module_names
from liuli.model.linear import Embedding, exchange

PROJECTIONS = ("q", "k", "v", "out", "gate", "up", "down")


@dataclass(frozen=True, slots=True)
class Settings(Record):
    """Of an adapter.

    Attributes:
        rank: rows of A. alpha: A and B count alpha / rank times. dropout: share of a projection's inputs that A does not see
            at a step while it learns.
        projections: some of `PROJECTIONS`, in every block; None: all that can be adapted.
        tokens: ids whose rows of the embedding, and of a head that is not tied to it, learn too.
    """

    rank: int = 16
    alpha: float = 32
    dropout: float = 0.0
    projections: tuple[str, ...] | None = None
    tokens: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check(self, "rank", is_size, "a whole number above 0", "LoRA's ")
        check(self, "alpha", is_positive, "a number above 0", "LoRA's ")
        check(self, "dropout", lambda value: is_number(value) and 0 <= value < 1, "from 0 to below 1", "LoRA's ")
        some = lambda names: names is None or (bool(names) and set(names) <= set(PROJECTIONS))
        check(self, "projections", some, f"some of {', '.join(PROJECTIONS)}", "LoRA's ")
        check(self, "tokens", are_tokens, "different ids", "LoRA's ")


class LoRA(nn.Module):
    """What an adapter adds at one projection, x (..., I) -> (..., O). A and B are fp32, the products in the dtype of x."""

    def __init__(self, inputs: int, outputs: int, settings: Settings):
        super().__init__()
        self.settings, self.scale = settings, settings.alpha / settings.rank
        self.a = nn.Parameter(torch.empty(settings.rank, inputs))
        self.b = nn.Parameter(torch.empty(outputs, settings.rank))

    def forward(self, x: Tensor) -> Tensor:
        a_RI, b_OR = self.a, self.b
        # The project's modules know no training mode. What tells learning from looking is whether a gradient can reach A:
        # an adapter that was loaded, or a pass without gradients, drops nothing.
        if self.settings.dropout and a_RI.requires_grad and torch.is_grad_enabled():
            x = F.dropout(x, self.settings.dropout)
        return F.linear(F.linear(x, a_RI.to(x.dtype)) * self.scale, b_OR.to(x.dtype))

    __call__ = forward

    def start(self, random: torch.Generator) -> None:
        """A uniform within ±1/√I (He et al.'s bound with PEFT's slope of √5), B zero."""
        bound = self.a.shape[1] ** -0.5
        nn.init.uniform_(self.a, -bound, bound, random)
        nn.init.zeros_(self.b)

    def dense(self) -> Tensor:
        """What it adds to the matrix, fp32 (O, I)."""
        return self.scale * self.b.detach() @ self.a.detach()


class LoRALinear(LinearPlace):
    """A projection with adapters."""

    def forward(self, x: Tensor) -> Tensor:
        part = self.part
        if part is None:
            return self.base(x)
        x = x.to(self.base.dtype)
        return self.base(x) + part(x)

    __call__ = forward

    def dense(self) -> Tensor:
        """The effective matrix, fp32 (O, I)."""
        return self.base.dense() if self.part is None else self.base.dense() + self.part.dense()


def add(decoder: Decoder, settings: Settings, seed: int, name: str = "default", like: int | None = None) -> None:
    """A new adapter, in use, which alone learns from now on. The same for a seed on every machine and device.

    Args:
        like: the token as which the settings' tokens begin; None: each as itself.

    Raises:
        LiuliError: an adapter of that name is open; a projection or a token that the decoder lacks; a projection that cannot
            be adapted.
    """
    random = torch.Generator("cpu").manual_seed(seed)
    parts = empty_parts(decoder, settings)
    for part in parts.values():
        part.start(random)
    put(decoder, name, parts | base_rows(decoder, settings.tokens, like))
    learn(decoder, name)


def empty_parts(decoder: Decoder, settings: Settings) -> dict[str, LoRA]:
    """A and B without numbers, by the projections' names in the decoder, in order.

    Raises:
        LiuliError: a projection that the decoder lacks, or that PEFT's format cannot name alone: GPT-2's q, k and v.
    """
    kinds = {path: path.rpartition(".")[2] for path in module_names(decoder.config)}
    can = [name for name in PROJECTIONS if name in kinds.values()]
    for name in settings.projections or ():
        if name not in can:
            raise LiuliError(
                f"a {decoder.config.family} decoder can have LoRA at {', '.join(can)}, and not at {name}: leave it out"
            )
    linears: Any = {path: decoder.get_submodule(path) for path, kind in kinds.items() if kind in (settings.projections or can)}
    return {path: LoRA(linear.inputs, linear.outputs, settings) for path, linear in linears.items()}


def put(decoder: Decoder, name: str, parts: Mapping[str, LoRA | TokenRows]) -> None:
    """Opens an adapter from its parts, by the names of their places in the decoder, and uses it. All that the decoder held, and
    holds now, is frozen."""
    if name in names(decoder):
        raise LiuliError(f"an adapter {name!r} is open already: give this one another name")
    device = next(decoder.parameters()).device
    kind = lambda path: RowsHead if isinstance(parts[path], TokenRows) else LoRALinear
    exchange(decoder, lambda path, linear: kind(path)(linear) if path in parts else linear)
    exchange(decoder, lambda path, table: RowsEmbedding(table) if path in parts else table, Embedding)
    for path, place in places(decoder).items():
        if path in parts:
            place.open(name, parts[path].to(device))
    decoder.requires_grad_(False)
    use(decoder, name)


def use(decoder: Decoder, name: str | None) -> None:
    """Computes with the adapter of that name from now on; with None, as the base alone.

    Raises:
        LiuliError: no adapter of that name is open.
    """
    if name is not None and name not in names(decoder):
        raise LiuliError(f"no adapter {name!r} is open; open: {', '.join(names(decoder)) or 'none'}")
    for place in places(decoder).values():
        place.used = name


def learn(decoder: Decoder, name: str) -> None:
    """Uses the adapter of that name; from now on only its parts want a gradient. Raises as `use`."""
    use(decoder, name)
    decoder.requires_grad_(False)
    for place in places(decoder).values():
        if place.part is not None:
            place.part.requires_grad_(True)


def names(decoder: Decoder) -> list[str]:
    """Of the adapters that are open."""
    return list(dict.fromkeys(name for place in places(decoder).values() for name in place.adapters))


def adapted(decoder: Decoder) -> dict[str, LoRALinear]:
    """The projections with adapters, by their names in the decoder."""
    return {path: module for path, module in decoder.named_modules() if isinstance(module, LoRALinear)}


def merge(decoder: Decoder) -> None:
    """W ← W + (alpha / rank) · B A for the adapter in use, in fp32 and then kept in W's dtype; its rows go into the tables.
    The decoder has plain layers again, its parameters may all learn, and no adapter is open any more."""
    exchange(decoder, lambda _, place: place.base.replaced(place.dense()), Place)
    if decoder.config.tied:
        decoder.head.tie(decoder.embedding)
    decoder.requires_grad_(True)
