"""Options that several commands share, and checks that are made before anything slow begins."""

import os
from pathlib import Path
from typing import Annotated

import typer

from liuli.errors import LiuliError

Folder = Annotated[
    str, typer.Argument(metavar="FOLDER", help="A model's folder, .gguf file, or owner/model on the hub.", show_default=False)
]
Adapter = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="An adapter (LoRA, in PEFT's format) to use with the model.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first input that would be skipped.")]
Pattern = Annotated[
    str | None, typer.Option(help="Cutting pattern, if the tokenizer's files do not name it: gpt2, qwen or llama3.")
]
Device = Annotated[str, typer.Option(help="Device to compute on: cpu, cuda, cuda:1 (the second GPU) or mps.")]
Dtype = Annotated[str, typer.Option(help="Number format to compute in: fp32, bf16 or fp16.")]
Threads = Annotated[
    int | None,
    typer.Option(help="CPU threads; by default 1 for a model under 10 M parameters, otherwise PyTorch's choice."),
]


def check_threads(threads: int | None) -> None:
    """Raises LiuliError if this machine does not have that many processors."""
    available = os.cpu_count() or 1
    if threads is not None and not 1 <= threads <= available:
        raise LiuliError(f"--threads must be between 1 and this machine's {available}, not {threads}")


def check_compute(device: str, dtype: str, threads: int | None) -> None:
    """Checks the three options before a model is read or downloaded. Imports PyTorch.

    Raises:
        LiuliError: the machine has no such device, or not that many processors, or there is no such dtype.
    """
    check_threads(threads)
    from liuli.devices import find_device, find_dtype

    find_device(device)
    find_dtype(dtype)
