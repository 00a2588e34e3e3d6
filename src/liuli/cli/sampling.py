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

SMALL = 10_000_000  # parameters
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
        help="Keep the smallest set of most likely tokens whose total probability is at least P; 1 keeps all.",
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
    """The same error, with the names of options as they are typed: that of a setting with which the message begins, and
    max_tokens wherever it stands."""
    name, rest = str(error).split(" ", 1)
    message = f"--{name.replace('_', '-')} {rest}" if name in OPTIONS else str(error)
    return LiuliError(message.replace(" max_tokens ", " --max-tokens "))


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
    """Sets PyTorch's threads: as many as were asked for, otherwise one for a small model. A second thread gains it nothing, and
    on a busy machine makes it up to 50 times slower (docs/lab-log.md)."""
    import torch

    largest = max(sum(parameter.numel() for parameter in model.decoder.parameters()) for model in models)
    if threads or largest < SMALL:
        torch.set_num_threads(threads or 1)
