"""`liuli plan`: what a model of a size costs, from formulas."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from liuli.cli.options import Json
from liuli.cli.output import Screen, print_json
from liuli.cli.wording import scaled
from liuli.errors import LiuliError
from liuli.hub import find_model
from liuli.model.config import PRESETS, TRAINED_ON
from liuli.model.plan import ACCELERATORS, Plan
from liuli.model.plan import plan as make_plan


def plan(
    size: Annotated[
        str,
        typer.Argument(
            metavar="SIZE|FOLDER", help=f"A folder, a .gguf file, or a preset: {', '.join(PRESETS)}.", show_default=False
        ),
    ],
    tokens: Annotated[
        str | None, typer.Option(help="Length of the training run, such as 300e9. By default as published, or 20 a parameter.")
    ] = None,
    gpu: Annotated[str, typer.Option(help="Accelerator of the training run: v100, a100, h100, h200 or rtx4090.")] = "h100",
    utilisation: Annotated[float, typer.Option(help="Share of the accelerator's peak that the run reaches.")] = 0.4,
    json: Json = False,
) -> None:
    """Say what a model costs: parameters, memory, arithmetic and time."""
    if gpu not in ACCELERATORS:
        raise LiuliError(f"there is no accelerator {gpu!r}; known: {', '.join(ACCELERATORS)}")
    if not 0 < utilisation <= 1:
        raise LiuliError(f"utilisation must be above 0 and at most 1, not {utilisation}")
    if size in PRESETS:
        config = PRESETS[size]
    else:
        from liuli.model.formats.detect import read_config

        if "/" not in size and not Path(size).exists():
            raise LiuliError(f"there is no preset, folder or file {size}; presets: {', '.join(PRESETS)}")
        config = read_config(find_model(size))
    count = _tokens(tokens) if tokens else TRAINED_ON.get(size)
    found = make_plan(config, count, gpu, utilisation)
    if json:
        print_json({"model": size} | found.to_json())
        return
    source = "given" if tokens else "as published" if count else "20 a parameter"
    Screen().print(_table(found, source))


def _table(found: Plan, tokens_source: str) -> Table:
    smaller = ", ".join(f"{_bytes(found.weight_bytes[dtype])} {dtype}" for dtype in ("bf16", "int8", "int4"))
    activations, cache = found.activation_bytes_per_token, found.cache_bytes_per_token
    full = f"at {found.context:,} tokens"
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("parameters", _count(found.parameters), f"{found.parameters:,}")
    for part, number in found.parts.items():
        if number:
            table.add_row(f"  {part.replace('_', '-')}", _count(number), f"{number / found.parameters:.1%}")
    for row in (
        ("weights", _bytes(found.weight_bytes["fp32"]), f"fp32; {smaller}"),
        ("training state", _bytes(found.optimizer_bytes), "weights, gradient and AdamW's two moments, fp32"),
        ("activations", _bytes(activations), f"a token in bf16; {_bytes(activations * found.context)} {full}"),
        ("key/value cache", _bytes(cache), f"a token in bf16; {_bytes(found.cache_bytes)} {full}"),
        ("training", _flops(found.training_flops_per_token), "FLOPs a token"),
        ("decoding", _flops(found.decoding_flops_per_token), "FLOPs a token, half the context full"),
        ("training run", f"{_count(found.training_tokens)} tokens", f"{tokens_source}; {_flops(found.training_flops)} FLOPs"),
        ("", _duration(found.gpu_hours), f"on one {found.accelerator}, {found.utilisation:.0%} of its peak used"),
    ):
        table.add_row(*row)
    return table


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


def _duration(hours: float) -> str:
    number, unit = (hours, "hours") if hours >= 1 else (hours * 60, "minutes")
    if number < 1:
        number, unit = hours * 3600, "seconds"
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


def _bytes(number: float) -> str:
    return scaled(number, 3, ("TB", "GB", "MB", "kB", "B"))
