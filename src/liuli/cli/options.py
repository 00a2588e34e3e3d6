"""Options that several commands share, and checks that are made before anything slow begins."""

import os
from pathlib import Path
from typing import Annotated

import typer

from liuli.errors import LiuliError

MODEL = "a model's folder, a run's folder, a .gguf file, or owner/model on the Hugging Face Hub"
DTYPES = ("fp32", "bf16", "fp16")
ADAPTER = "the folder of a LoRA adapter (in PEFT's format), or of the run that trained it"
SOURCE = "files, folders, hub:owner/dataset, or - for standard input"

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help=f"The model: {MODEL}.", show_default=False)]
TextSources = Annotated[list[str], typer.Argument(metavar="SOURCE", help=f"The text: {SOURCE}.", show_default=False)]
Adapter = Annotated[Path | None, typer.Option(metavar="ADAPTER", help=f"Use this adapter with the model: {ADAPTER}.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what this command wrote to the folder before.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first input that would be skipped.")]
AsDialogues = Annotated[
    bool,
    typer.Option(
        "--dialogues",
        help="Read the sources as dialogues. Without it, the first record decides whether they are text or dialogues, and a "
        ".txt file is text.",
    ),
]
TextField = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD",
        help="Read the text of a record from this field. If the field is a list of strings, each is a line. May be repeated: "
        "the first of the fields that a record has is read.",
        show_default="text",
    ),
]
Pattern = Annotated[
    str | None,
    typer.Option(
        metavar="gpt2|qwen|llama3",
        help="Use this pre-tokenization pattern. It is needed only if the tokenizer's files do not name one.",
    ),
]
Device = Annotated[
    str, typer.Option(metavar="DEVICE", help="Compute on this device: cpu, cuda, cuda:1 (the second GPU) or mps.")
]
Dtype = Annotated[str, typer.Option(metavar="|".join(DTYPES), help="Compute in this number format.")]
Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Use this many CPU threads.",
        show_default="1 for a model under 10 M parameters, otherwise PyTorch's choice",
    ),
]


def check_threads(threads: int | None) -> None:
    """Raises LiuliError if this machine does not have that many processors."""
    available = os.cpu_count() or 1
    if threads is not None and not 1 <= threads <= available:
        raise LiuliError(f"--threads must be from 1 to {available}, the number of processors of this machine, not {threads}")


def check_model(model: str, adapter: Path | None = None) -> None:
    """Checks the folders or files of a model and an adapter, before PyTorch is imported. Nothing is opened or downloaded.

    Raises:
        LiuliError: there is no such folder or file.
    """
    from liuli.hub import local_model

    local_model(model)
    if adapter is not None and not adapter.is_dir():
        raise LiuliError(f"there is no folder {adapter}: give an adapter's folder")


def check_compute(device: str, dtype: str, threads: int | None) -> None:
    """Checks the three options before a model is read or downloaded. Imports PyTorch.

    Raises:
        LiuliError: the machine has no such device, or not that many processors, or there is no such dtype.
    """
    check_threads(threads)
    check_dtype(dtype)
    from liuli.devices import find_device

    find_device(device)


def check_dtype(dtype: str) -> None:
    """Raises LiuliError if there is no such dtype. Does not import PyTorch."""
    if dtype not in DTYPES:
        raise LiuliError(f"there is no dtype {dtype!r}; dtypes: {', '.join(DTYPES)}")
