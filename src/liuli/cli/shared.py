"""What commands share: reading text, writing JSON, showing a token."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.display import visible
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.data.text.sources import Skipped
    from liuli.tokens import Token

Folder = Annotated[
    str, typer.Argument(metavar="FOLDER", help="A model's folder, or owner/model on the hub.", show_default=False)
]
Adapter = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="An adapter (LoRA, in PEFT's format) to use with the model.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first input that would be skipped.")]
Pattern = Annotated[
    str | None, typer.Option(help="Cutting pattern, where the tokenizer's files do not say it: gpt2, qwen or llama3.")
]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda or mps.")]
Dtype = Annotated[str, typer.Option(help="What to compute in: fp32, bf16 or fp16.")]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads; by default 1 for a model under 10 M parameters, else PyTorch's choice.")
]


def check_threads(threads: int | None) -> None:
    """Raises LiuliError where this machine has no so many."""
    if threads is not None and not 1 <= threads <= (os.cpu_count() or 1):
        raise LiuliError(f"--threads must be between 1 and this machine's {os.cpu_count() or 1}, not {threads}")


def read_text(text: str) -> str:
    """`text`, or standard input where it is "-"; not one byte of it is changed."""
    if text != "-":
        return text
    data = sys.stdin.buffer.read()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise LiuliError(
            f"standard input is not UTF-8 text: byte {error.start + 1} of {len(data)} is 0x{data[error.start]:02X}"
        ) from None


def print_json(body: dict[str, Any]) -> None:
    """One object on one line, Chinese as it is; where the output cannot hold that, as JSON's escapes."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(body, ensure_ascii=not unicode, allow_nan=False), flush=True)


def note_skipped(skipped: "list[Skipped]") -> None:
    """What of the sources was not used and why, a line a reason, beside the output."""
    for each in skipped:
        print(f"liuli: skipped {each}", file=sys.stderr)


def counted(number: int, what: str) -> str:
    """`1 token`, `2 tokens`."""
    return f"{number:,} {what}" + "s" * (number != 1)


def percent(share: float) -> str:
    return "<0.01%" if 0 < share < 0.0001 else f"{share:.2%}"


def scaled(number: float, digits: int, units: tuple[str, ...]) -> str:
    """A number to so many digits, in the largest of `units` (of 1e12, 1e9, 1e6, 1e3 and 1) of which it is shown as one at
    least: 999,999 to three digits is 1 M."""
    pairs = [(f"{number / size:.{digits}g}", unit) for unit, size in zip(units, (1e12, 1e9, 1e6, 1e3, 1), strict=True)]
    shown, unit = next((pair for pair in pairs if float(pair[0]) >= 1), pairs[-1])
    return f"{shown} {unit}".strip()


def name(token: "Token") -> str:
    """A token on one line; a special one by its name."""
    return token.text if token.special else visible(token.text, token.bytes)
