"""The sampling options of the commands that generate text, and how they print the settings in force."""

import dataclasses
from collections.abc import Callable, Iterable
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.errors import LiuliError
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.generate.model import Model
    from liuli.generate.sampling import Sampling

OWN = "the model's own, else "  # begins the default of a sampling setting: what generation_config.json or a GGUF file gives


def _option(kind: type, metavar: str, text: str, default: str) -> Any:
    """The annotation of an option for a setting of the sampler. `default`: if neither the user nor the model gives it."""
    return Annotated[kind | None, typer.Option(metavar=metavar, help=text, show_default=f"{OWN}{default}")]


SAMPLING = {  # the options for `Sampling`, except for the logit bias
    "temperature": _option(
        float,
        "NUMBER",
        "Divide the logits by this. 0 always takes the most likely token; 1 samples from the model's own distribution.",
        "0.8",
    ),
    "top_k": _option(int, "K", "Keep only the K most likely tokens; 0 keeps all.", "0"),
    "top_p": _option(
        float, "P", "Keep the smallest set of most likely tokens whose total probability is at least P; 1 keeps all.", "1"
    ),
    "min_p": _option(
        float, "P", "Keep tokens whose probability is at least P times that of the most likely token; 0 keeps all.", "0"
    ),
    "repetition_penalty": _option(
        float,
        "NUMBER",
        "Make tokens that are already in the prompt or the reply less likely: divide their logits by this if they are "
        "positive, and multiply them by it otherwise. 1 changes nothing; 1.1 is a usual value.",
        "1",
    ),
    "presence_penalty": _option(
        float, "NUMBER", "Subtract this from the logits of tokens that are already in the reply; 0 changes nothing.", "0"
    ),
    "frequency_penalty": _option(
        float,
        "NUMBER",
        "Subtract this from the logit of each token of the reply, as many times as it occurs there; 0 changes nothing.",
        "0",
    ),
}
OPTIONS = ("max_tokens", *SAMPLING, "seed", "candidates")

MaxTokens = Annotated[int, typer.Option(metavar="N", help="Generate at most this many tokens.")]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Set the random seed. The same seed gives the same text.", show_default="chosen at random and printed"
    ),
]


def with_sampling_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command's function, which takes `**sampling` and has a parameter `seed`, the options in `SAMPLING`, before
    `--seed`."""
    found: list[Parameter] = []
    for each in signature(command).parameters.values():
        if each.name == "seed":
            found += [
                Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)
                for name, annotation in SAMPLING.items()
            ]
        if each.kind is not Parameter.VAR_KEYWORD:
            found.append(each)
    command.__signature__ = signature(command).replace(parameters=found)  # pyright: ignore[reportFunctionMemberAccess]
    command.__annotations__ = {each.name: each.annotation for each in found}
    return command


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
    """A number without zeros at its end, which the user did not type."""
    return f"of {counted(len(value), 'token')}" if isinstance(value, dict) else f"{value:.12g}"


def set_threads(models: "Iterable[Model]", threads: int | None) -> None:
    """Sets PyTorch's threads for the rest of this process: as many as were asked for, otherwise as `inference_threads` says of
    the largest model."""
    import torch

    from liuli.devices import inference_threads

    largest = max(sum(parameter.numel() for parameter in model.decoder.parameters()) for model in models)
    torch.set_num_threads(threads or inference_threads(largest))
