"""`liuli convert`: converts a model to another format."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from liuli.cli.options import DTYPES, Json, ModelName, check_dtype, check_model
from liuli.cli.output import Screen, print_json, say
from liuli.cli.work_progress import work_progress
from liuli.errors import LiuliError
from liuli.output_paths import check_new_file, check_new_folder

TYPES = "f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0"


def convert(
    model: ModelName,
    out: Annotated[str | None, typer.Option(metavar="FOLDER", help="Write a folder in Hugging Face's format.")] = None,
    gguf: Annotated[str | None, typer.Option(metavar="FILE", help="Write a GGUF file, which llama.cpp opens.")] = None,
    type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help=f"Store the matrices of the GGUF file in this type: {TYPES}.", show_default="f16"),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(metavar="|".join(DTYPES), help="Store the folder's numbers in this format.", show_default="fp32"),
    ] = None,
    json: Json = False,
) -> None:
    """Write a model in another format: as a folder that transformers and vLLM open, or as a GGUF file."""
    if (out is None) == (gguf is None):
        raise LiuliError("give either --out FOLDER or --gguf FILE")
    if out is not None and type is not None:
        raise LiuliError("--type applies to --gguf only; use --dtype for a folder")
    if gguf is not None and dtype is not None:
        raise LiuliError("--dtype applies to --out only; use --type for a GGUF file")
    if type is not None and type not in TYPES.split(", "):
        raise LiuliError(f"--type {type} cannot be written; types: {TYPES}")
    check_dtype(dtype or "fp32")
    if gguf is not None:
        check_new_file(gguf, ".gguf")
    if out is not None:
        check_new_folder(out)
    check_model(model)

    if out is not None:
        _to_folder(model, out, dtype or "fp32", json)
    elif gguf is not None:
        _to_gguf(model, gguf, type or "f16", json)


def _to_folder(model: str, out: str, dtype: str, json: bool) -> None:
    with work_progress(f"loading {model}") as work:
        from liuli.devices import find_dtype
        from liuli.hub import find_model
        from liuli.recipes.convert import to_folder

        card = to_folder(find_model(model, weights=True), Path(out), find_dtype(dtype), work.show)
    if json:
        print_json({"path": out} | card)
    else:
        say(f"{out}: {model} in {dtype}, hash {card['hash'][:12]}")
        _say_next(out)


def _to_gguf(model: str, gguf: str, type: str, json: bool) -> None:
    with work_progress(f"loading {model}") as work:
        from liuli.hub import find_model
        from liuli.recipes.convert import to_gguf

        counts = to_gguf(find_model(model, weights=True), Path(gguf), type, Path(model).stem, work.show)
    size = Path(gguf).stat().st_size
    if json:
        print_json({"path": gguf, "bytes": size, "tensors": counts})
    else:
        kinds = ", ".join(f"{count} {name}" for name, count in counts.items())
        say(f"{gguf}: {model} in {type}, {size / 1e6:,.0f} MB; tensors: {kinds}")
        _say_next(gguf)


def _say_next(written: str) -> None:
    """Prints the command that tries the model: a chat if it has a template for one."""
    from liuli.tokens.chat.chat import has_template

    path = shlex.quote(written)
    command = f"liuli chat {path}" if has_template(Path(written)) else f'liuli complete {path} "The beginning of a text"'
    say("Try it with:")
    Screen().print_command(f"  {command}")
