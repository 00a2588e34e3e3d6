"""LoRA: the matrix of a projection is frozen. The product of two small matrices, which are trained, is added to it.

    y = W x + scale · B A dropout(x),    scale = alpha / rank, or alpha / √rank if it is rank-stabilised

A has the shape (rank, inputs), B (outputs, rank). B is zero at first, so that training starts from the base model itself. Only
A and B require a gradient and optimizer state, and they are saved in a small file (`peft_folder.py`).
Source: Hu et al. 2021, https://arxiv.org/abs/2106.09685; Kalajdzievski 2023, https://arxiv.org/abs/2312.03732 (√rank); A
starts as in PEFT, https://github.com/huggingface/peft.

An adapter consists of A and B for each adapted projection. It may also have embedding rows for some tokens (`token_rows.py`)
or a whole embedding or head (`own_table.py`). Several adapters may be open on one base model; at most one of them is active.

Legend: I inputs, O outputs, R rank.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from liuli.errors import LiuliError
from liuli.fields import Record, check, is_number, is_positive, is_size
from liuli.model.adapters.own_table import OwnTable
from liuli.model.adapters.slot import AdapterSlot, EmbeddingSlot, HeadSlot, LinearSlot, adapter_slots
from liuli.model.adapters.token_rows import TokenRows, are_tokens, base_rows
from liuli.model.decoder import Decoder
from liuli.model.formats.tensor_names import block_modules
from liuli.model.linear import Embedding, exchange

PROJECTIONS = ("q", "k", "v", "out", "gate", "up", "down")
LARGEST_RANK, LARGEST_ALPHA = 2**16, 1e9


@dataclass(frozen=True, slots=True)
class LoRASettings(Record):
    """The settings of one adapter.

    Attributes:
        rank: the number of rows of A.
        alpha: the product B A is multiplied by alpha / rank.
        rank_stabilised: the product is multiplied by alpha / √rank instead (PEFT's `use_rslora`).
        dropout: the fraction of a projection's inputs that is dropped before A in a training step.
        projections: some of `PROJECTIONS`, in every block; None: all that can be adapted.
        tokens: ids whose rows are trained too, in the embedding and in a head that is not tied to it.
    """

    rank: int = 16
    alpha: float = 32
    dropout: float = 0.0
    projections: tuple[str, ...] | None = None
    tokens: tuple[int, ...] = ()
    rank_stabilised: bool = False

    def __post_init__(self) -> None:
        check(self, "rank", is_size, "a whole number above 0", "LoRA's ")
        check(self, "rank", lambda value: value <= LARGEST_RANK, f"at most {LARGEST_RANK}", "LoRA's ")
        check(self, "alpha", is_positive, "a number above 0", "LoRA's ")
        check(self, "alpha", lambda value: value <= LARGEST_ALPHA, f"at most {LARGEST_ALPHA:g}", "LoRA's ")
        check(self, "dropout", lambda value: is_number(value) and 0 <= value < 1, "from 0 to below 1", "LoRA's ")
        check(self, "projections", _are_projections, f"some of {', '.join(PROJECTIONS)}", "LoRA's ")
        check(self, "tokens", are_tokens, "different ids", "LoRA's ")
        check(self, "rank_stabilised", lambda value: isinstance(value, bool), "true or false", "LoRA's ")

    @property
    def scale(self) -> float:
        """The factor of the product B A."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


def _are_projections(names: Any) -> bool:
    return names is None or (bool(names) and set(names) <= set(PROJECTIONS))


class LoRA(nn.Module):
    """The part of an adapter that is added to one projection, x (..., I) -> (..., O). A and B are fp32; they are converted to
    the dtype of x for the matrix multiplications."""

    def __init__(self, inputs: int, outputs: int, settings: LoRASettings):
        super().__init__()
        self.settings, self.scale = settings, settings.scale
        self.a = nn.Parameter(torch.empty(settings.rank, inputs))
        self.b = nn.Parameter(torch.empty(outputs, settings.rank))

    def forward(self, x: Tensor) -> Tensor:
        a_RI, b_OR = self.a, self.b
        # The project's modules have no training mode. Dropout is active only if A gets a gradient, as in a training step: not
        # in an adapter that was loaded for inference, and not in a pass without gradients.
        if self.settings.dropout and a_RI.requires_grad and torch.is_grad_enabled():
            x = F.dropout(x, self.settings.dropout)
        return F.linear(F.linear(x, a_RI.to(x.dtype)) * self.scale, b_OR.to(x.dtype))

    __call__ = forward

    def start(self, random: torch.Generator) -> None:
        """Fills A with uniform numbers within ±1/√I (He et al.'s bound with PEFT's slope of √5), and B with 0."""
        bound = self.a.shape[1] ** -0.5
        nn.init.uniform_(self.a, -bound, bound, random)
        nn.init.zeros_(self.b)

    def dense(self) -> Tensor:
        """Returns the matrix that is added to the projection's, fp32 (O, I)."""
        return self.scale * self.b.detach() @ self.a.detach()


class LoRALinear(LinearSlot):
    """A projection with adapters."""

    def forward(self, x: Tensor) -> Tensor:
        lora = self.active
        if lora is None:
            return self.base(x)
        x = x.to(self.base.dtype)
        return self.base(x) + lora(x)

    __call__ = forward

    def dense(self) -> Tensor:
        """The effective matrix, fp32 (O, I)."""
        return self.base.dense() if self.active is None else self.base.dense() + self.active.dense()


AdapterModule = LoRA | TokenRows | OwnTable  # the module of an adapter in one slot


def add(decoder: Decoder, settings: LoRASettings, seed: int, name: str = "default", like: int | None = None) -> None:
    """Adds a new adapter, makes it active, and freezes all other parameters. The same seed gives the same adapter on every
    machine and device.

    Args:
        like: a token; the rows of `settings.tokens` start as copies of its rows. None: each starts from its own row.

    Raises:
        LiuliError: an adapter with this name is open already; the decoder does not have a projection or a token; a projection
            cannot be adapted.
    """
    random = torch.Generator("cpu").manual_seed(seed)
    modules = empty_modules(decoder, settings)
    for module in modules.values():
        module.start(random)
    attach(decoder, name, modules | base_rows(decoder, settings.tokens, like))
    learn(decoder, name)


def empty_modules(decoder: Decoder, settings: LoRASettings) -> dict[str, LoRA]:
    """Returns A and B, without values, for every projection that the settings name. The keys are the projections' names in the
    decoder, in its order.

    Raises:
        LiuliError: the decoder does not have a projection; or the settings name only some of GPT-2's q, k and v, which are
            stored as one matrix.
    """
    can = projections_of(decoder)
    for name in settings.projections or ():
        if name not in can:
            raise LiuliError(
                f"a {decoder.config.family} model can have LoRA at {', '.join(can)}, but not at {name}: remove {name}"
            )
    found: dict[str, LoRA] = {}
    for paths in block_modules(decoder.config).values():
        asked = [kind for kind in map(kind_of, paths) if kind in (settings.projections or can)]
        if asked and len(asked) < len(paths):
            together = ", ".join(map(kind_of, paths))
            raise LiuliError(f"a {decoder.config.family} model stores {together} as one matrix: adapt all of them, or none")
        if asked:
            found |= empty_at(decoder, paths, settings)
    return found


def empty_at(decoder: Decoder, paths: Sequence[str], settings: LoRASettings) -> dict[str, LoRA]:
    """Returns A and B, without values, for each of several projections that are stored as one matrix. They share one A, and
    each B is a part of the matrix's B. So together they equal one LoRA of the stored matrix."""
    linears: Any = {path: decoder.get_submodule(path) for path in paths}
    found = {path: LoRA(linear.inputs, linear.outputs, settings) for path, linear in linears.items()}
    for module in found.values():
        module.a = found[paths[0]].a
    return found


def projections_of(decoder: Decoder) -> list[str]:
    """Returns the names of the projections that the decoder has, in the order of `PROJECTIONS`."""
    kinds = {kind_of(path) for paths in block_modules(decoder.config).values() for path in paths}
    return [name for name in PROJECTIONS if name in kinds]


def kind_of(path: str) -> str:
    """Returns a projection's name in its block, such as q, from its name in the decoder."""
    return path.rpartition(".")[2]


def attach(decoder: Decoder, name: str, modules: Mapping[str, AdapterModule]) -> None:
    """Opens an adapter and makes it active. All parameters are frozen, including the adapter's own.

    Args:
        modules: the adapter's modules, by the names of the layers that they adapt.

    Raises:
        LiuliError: an adapter with this name is open already.
    """
    if name in names(decoder):
        raise LiuliError(f"an adapter named {name!r} is open already: give the new adapter another name")

    def linear_slot(path: str, linear: Any) -> nn.Module:
        if path not in modules:
            return linear
        return LoRALinear(linear) if isinstance(modules[path], LoRA) else HeadSlot(linear)

    exchange(decoder, linear_slot)
    exchange(decoder, lambda path, table: EmbeddingSlot(table) if path in modules else table, Embedding)
    for path, slot in adapter_slots(decoder).items():
        if path in modules:
            slot.add(name, modules[path].to(decoder.device))
    decoder.requires_grad_(False)
    use(decoder, name)


def use(decoder: Decoder, name: str | None) -> None:
    """Makes the adapter with this name active. None: no adapter is active, and the decoder computes as the base model.

    Raises:
        LiuliError: no adapter with this name is open.
    """
    if name is not None and name not in names(decoder):
        raise LiuliError(f"no adapter named {name!r} is open; open adapters: {', '.join(names(decoder)) or 'none'}")
    for slot in adapter_slots(decoder).values():
        slot.active_name = name


def learn(decoder: Decoder, name: str) -> None:
    """Makes the adapter with this name active, and only its parameters require a gradient. Raises the errors of `use`."""
    use(decoder, name)
    decoder.requires_grad_(False)
    for slot in adapter_slots(decoder).values():
        if slot.active is not None:
            slot.active.requires_grad_(True)


def names(decoder: Decoder) -> list[str]:
    """Returns the names of the open adapters."""
    return list(dict.fromkeys(name for slot in adapter_slots(decoder).values() for name in slot.adapters))


def adapted(decoder: Decoder) -> dict[str, LoRALinear]:
    """Returns the projections with adapters, by their names in the decoder."""
    return {path: module for path, module in decoder.named_modules() if isinstance(module, LoRALinear)}


def merge(decoder: Decoder) -> None:
    """Merges the active adapter into the decoder: W ← W + scale · B A, computed in fp32 and stored in W's dtype. The adapter's
    rows and tables replace the base's. Afterwards the decoder has only ordinary layers, all its parameters require a gradient,
    and no adapter is open. A tied head stays tied, unless the adapter gives it other numbers than the embedding."""
    exchange(decoder, lambda _, slot: slot.base.replaced(slot.dense()), AdapterSlot)
    if decoder.config.tied and torch.equal(decoder.head.dense(), decoder.embedding.dense()):
        decoder.head.tie(decoder.embedding)
    elif decoder.config.tied:
        decoder.config = replace(decoder.config, tied=False)
    decoder.requires_grad_(True)
