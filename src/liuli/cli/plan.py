"""`liuli plan`: estimates what a model of a given size needs, from formulas, and how long training takes on this machine,
from a short test of its speed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from liuli.cli.options import MODEL, Json, check_model
from liuli.cli.output import Screen, print_json
from liuli.cli.wording import about, duration
from liuli.cli.work_progress import work_progress
from liuli.errors import LiuliError
from liuli.hub import find_model
from liuli.model.config import PRESETS, TRAINED_ON
from liuli.model.plan import ACCELERATORS, Plan
from liuli.model.plan import plan as make_plan
from liuli.units import byte_size, counted, scaled

if TYPE_CHECKING:
    from liuli.learn.prepare.forecast import Forecast
    from liuli.model.config import Config
    from liuli.model.memory import TrainingMemory

ROW, RANK = 512, 8  # of the runs whose memory is shown: tokens per sequence, at most; LoRA's rank
DOCUMENTS = [ROW] * 1000  # their lengths, in tokens


def plan(
    size: Annotated[
        str,
        typer.Argument(metavar="SIZE|MODEL", help=f"A size ({', '.join(PRESETS)}), or {MODEL}.", show_default=False),
    ],
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="Assume training on this many tokens, such as 300e9.",
            show_default="the published number for a published model, otherwise 20 per parameter",
        ),
    ] = None,
    gpu: Annotated[str, typer.Option(metavar="|".join(ACCELERATORS), help="Assume training on this accelerator.")] = "h100",
    utilisation: Annotated[
        float, typer.Option(metavar="SHARE", help="Assume that training reaches this share of the accelerator's peak FLOP/s.")
    ] = 0.4,
    json: Json = False,
) -> None:
    """Estimate a model's parameters, memory, FLOPs and training time, on an accelerator and on this machine.

    The speed of this machine is measured, which takes a second or two.
    """
    if gpu not in ACCELERATORS:
        raise LiuliError(f"--gpu must be one of {', '.join(ACCELERATORS)}, not {gpu}")
    if not 0 < utilisation <= 1:
        raise LiuliError(f"--utilisation must be above 0 and at most 1, not {utilisation}")
    count = _tokens(tokens) if tokens is not None else TRAINED_ON.get(size)
    with work_progress(f"reading the configuration of {size}") as work:
        config = PRESETS.get(size) or _read_config(size)
        found = make_plan(config, count, gpu, utilisation)
        memory = _training_memory(config)
        work.show("measuring this machine's speed")
        here = _forecast(config, found.training_tokens)
    if json:
        by_run = {name: each.to_json() | {"total": each.total} for name, each in memory.items()}
        print_json({"model": size} | found.to_json() | {"training_memory": by_run, "this_machine": here.to_json()})
        return
    source = "--tokens" if tokens else "as published for this model" if count else "20 per parameter"
    Screen().print(_table(found, source, memory, here))


def _read_config(name: str) -> "Config":
    if "/" not in name and not Path(name).exists():
        raise LiuliError(f"there is no size, folder or file {name}; sizes: {', '.join(PRESETS)}")
    check_model(name)

    from liuli.model.formats.detect import read_config

    return read_config(find_model(name))


def _training_memory(config: "Config") -> dict[str, "TrainingMemory"]:
    """Of three runs on a CPU that multiplies in bf16, each by its recipe for sequences of `ROW` tokens."""
    from liuli.learn.step.recipe import derive, for_published
    from liuli.model.memory import training_memory

    runs = {
        "pretrain": ({}, None),
        "finetune": (for_published(config, lora=False), None),
        "lora": (for_published(config, lora=True), RANK),
    }
    length = {"length": min(ROW, config.context)}
    return {
        name: training_memory(config, derive(config, DOCUMENTS, rules | length).workload(config, bits=16, lora=rank))
        for name, (rules, rank) in runs.items()
    }


def _forecast(config: "Config", tokens: float) -> "Forecast":
    """By the recipe of a run on long documents."""
    from liuli.learn.prepare.forecast import forecast
    from liuli.learn.step.recipe import derive

    length = min(derive(config, DOCUMENTS, {}).length, config.context)
    return forecast(config, tokens, derive(config, DOCUMENTS, {"length": length}))


def _table(found: Plan, tokens_source: str, memory: dict[str, "TrainingMemory"], here: "Forecast") -> Table:
    smaller = ", ".join(f"{byte_size(found.weight_bytes[dtype])} {dtype}" for dtype in ("bf16", "int8", "int4"))
    activations, cache = found.activation_bytes_per_token, found.cache_bytes_per_token
    full, sequences = f"at {found.context:,} tokens", f"sequences of {counted(min(ROW, found.context), 'token')}"
    trained = "1 token" if found.training_tokens == 1 else f"{_count(found.training_tokens)} tokens"
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row("parameters", _count(found.parameters), f"{found.parameters:,}")
    for part, number in found.parts.items():
        if number:
            table.add_row(f"  {part.replace('_', '-')}", _count(number), f"{number / found.parameters:.1%}")
    for row in (
        ("weights", byte_size(found.weight_bytes["fp32"]), f"fp32; {smaller}"),
        ("training state", byte_size(found.training_state_bytes), "weights, their mean, gradients, Muon and AdamW, fp32"),
        ("activations", byte_size(activations), f"per token in bf16; {byte_size(activations * found.context)} {full}"),
        ("to pre-train", byte_size(memory["pretrain"].total), f"memory on a CPU in bf16, {sequences}"),
        ("to fine-tune", byte_size(memory["finetune"].total), "all weights, same sequences"),
        ("", byte_size(memory["lora"].total), f"LoRA of rank {RANK}, same sequences"),
        ("key/value cache", byte_size(cache), f"per token in bf16; {byte_size(found.cache_bytes)} {full}"),
        ("training", _flops(found.training_flops_per_token), "FLOPs per token"),
        ("decoding", _flops(found.decoding_flops_per_token), "FLOPs per token, with the context half full"),
        ("training run", trained, f"{tokens_source}; {_flops(found.training_flops)} FLOPs"),
        ("", duration(3600 * found.gpu_hours), f"on one {found.accelerator}, at {found.utilisation:.0%} of its peak FLOP/s"),
        ("", about(3600 * here.hours), _here(here)),
    ):
        table.add_row(*row)
    return table


def _here(here: "Forecast") -> str:
    """Where and how the time on this machine was estimated."""
    timed = f"of {here.timed}" if here.timed else "of this model"
    settings = f"{here.dtype}, {counted(here.threads, 'thread')}"
    speed = scaled(here.tokens_per_second, 3, ("T", "B", "M", "k", ""))
    return f"on this machine, at {speed} tokens/s ({settings}; from a few training steps {timed})"


def _tokens(given: str) -> float:
    try:
        count = float(given)
    except ValueError:
        count = 0.0
    if not 1 <= count < float("inf"):
        raise LiuliError(f"--tokens must be a number of at least 1, such as 300e9, not {given}")
    return count


def _count(number: float) -> str:
    return scaled(number, 4, ("T", "B", "M", "k", ""))


def _flops(number: float) -> str:
    return f"{number:.3g}" if number >= 1e15 else scaled(number, 3, ("T", "G", "M", "k", ""))
