"""The sampling options of the commands that generate text, and how they print the settings in force."""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.cli.wording import counted
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.generate.model import Model
    from liuli.generate.sampling import Sampling

OPTIONS = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "seed", "candidates")

MaxTokens = Annotated[int, typer.Option(metavar="N", help="Generate at most this many tokens.")]
OWN = "the model's own, else "  # begins the default of a sampling setting: what generation_config.json or a GGUF file gives
Temperature = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER",
        help="Divide the logits by this. 0 always takes the most likely token; 1 samples from the model's own distribution.",
        show_default=f"{OWN}0.8",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(metavar="K", help="Keep only the K most likely tokens; 0 keeps all.", show_default=f"{OWN}0"),
]
TopP = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Keep the most likely tokens, as few as reach a total probability of P; 1 keeps all.",
        show_default=f"{OWN}1",
    ),
]
MinP = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Keep tokens whose probability is at least P times that of the most likely token; 0 keeps all.",
        show_default=f"{OWN}0",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Set the random seed. The same seed gives the same text.", show_default="chosen at random and printed"
    ),
]


def only_given(**settings: float | None) -> dict[str, Any]:
    """The settings that were given, without those that are None."""
    return {name: value for name, value in settings.items() if value is not None}


def named_as_typed(error: LiuliError) -> LiuliError:
    """The same error; if its message begins with the name of a setting, with the option's name as it is typed."""
    name, rest = str(error).split(" ", 1)
    return LiuliError(f"--{name.replace('_', '-')} {rest}") if name in OPTIONS else error


def settings_line(model: "Model", sampling: "Sampling", seed: int | None, given: dict[str, Any]) -> str:
    """The settings in force: those that were given as options, and after them the others with where they come from."""
    used, unset = dataclasses.asdict(sampling), dataclasses.asdict(type(sampling)())
    shown = {name: value for name, value in used.items() if name in ("temperature", *given) or value != unset[name]}
    words = {name: f"{name.replace('_', '-')} {_in_short(value)}" for name, value in shown.items()}
    first = ["greedy"] if sampling.temperature == 0 else [] if seed is None else [f"seed {seed}"]
    parts = [", ".join([*first, *(word for name, word in words.items() if name in given)])]
    named, unnamed = [], []
    for name in words.keys() - given.keys():
        (named if name in model.sampling_named else unnamed).append(name)
    for source, names in ((model.sampling_source, named), ("default", unnamed)):
        if names:
            parts.append(f"{source}: {', '.join(word for name, word in words.items() if name in names)}")
    return "; ".join(filter(None, parts))


def _in_short(value: Any) -> str:
    return f"of {counted(len(value), 'token')}" if isinstance(value, dict) else str(value)


def set_threads(models: "Iterable[Model]", threads: int | None) -> None:
    """Sets PyTorch's threads for the rest of this process: as many as were asked for, otherwise as `inference_threads` says of
    the largest model."""
    import torch

    from liuli.devices import inference_threads

    largest = max(sum(parameter.numel() for parameter in model.decoder.parameters()) for model in models)
    torch.set_num_threads(threads or inference_threads(largest))
