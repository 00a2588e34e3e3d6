"""The options of commands that let a model write, and what they say of them."""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.generate.model import Model
    from liuli.generate.sampling import Sampling

SMALL = 10_000_000  # parameters
OPTIONS = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "seed", "candidates")

MaxTokens = Annotated[int, typer.Option(help="How many tokens at most.")]
Temperature = Annotated[float | None, typer.Option(help="0 takes the likeliest token; 1 is the model's own distribution.")]
TopK = Annotated[int | None, typer.Option(help="Keep the k likeliest tokens; 0 keeps all.")]
TopP = Annotated[float | None, typer.Option(help="Keep the fewest tokens that together reach p.")]
MinP = Annotated[float | None, typer.Option(help="Keep tokens at least this share as likely as the likeliest.")]
Seed = Annotated[int | None, typer.Option(help="Makes the same choices again; drawn and said where not given.")]


def typed(**settings: float | None) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name, value in settings.items() if value is not None}


def as_typed(error: LiuliError) -> LiuliError:
    """The same with an option's name as it is typed, where it begins with one."""
    name, rest = str(error).split(" ", 1)
    return LiuliError(f"--{name.replace('_', '-')} {rest}") if name in OPTIONS else error


def said(model: "Model", sampling: "Sampling", seed: int | None, given: dict[str, Any]) -> str:
    """The settings that were in force: those that were typed, and apart from them where the others come from."""
    used, plain = dataclasses.asdict(sampling), dataclasses.asdict(type(sampling)())
    told = {name: value for name, value in used.items() if name in ("temperature", *given) or value != plain[name]}
    words = {name: f"{name.replace('_', '-')} {value}" for name, value in told.items()}
    first = ["greedy"] if sampling.temperature == 0 else [] if seed is None else [f"seed {seed}"]
    named = ", ".join([*first, *(word for name, word in words.items() if name in given)])
    others = ", ".join(word for name, word in words.items() if name not in given)
    return "; ".join(filter(None, [named, f"{model.sampling_source}: {others}" * bool(others)]))


def set_threads(models: "Iterable[Model]", threads: int | None) -> None:
    """A small model gains nothing from a second thread, and on a busy machine loses up to 50 times (docs/lab-log.md)."""
    import torch

    largest = max(sum(parameter.numel() for parameter in model.decoder.parameters()) for model in models)
    if threads or largest < SMALL:
        torch.set_num_threads(threads or 1)
