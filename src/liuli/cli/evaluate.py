"""`liuli evaluate`: measures how well a model predicts a text, and for a world, how far it is from the true probabilities."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.cli.options import SOURCE, Adapter, Device, Dtype, Json, ModelName, Pattern, Strict, check_compute, check_model
from liuli.cli.output import note_skipped, print_json, say
from liuli.cli.wording import counted
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.evaluate.loss import Evaluation
    from liuli.generate.model import Model
    from liuli.tokens import Tokenizer
    from liuli.world import Comparison, World

LENGTH = 1024  # tokens of a window at most, by default
Length = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Use windows of at most this many tokens.", show_default=f"the model's context, at most {LENGTH}"
    ),
]
Points = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="For a world: compare probabilities at this many choices of each kind (wordings, names, facts, habits).",
    ),
]
KINDS = {"wording": "wordings", "entity": "names", "fact": "facts", "habit": "habits"}


def evaluate(
    model: ModelName,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help=f"The text: {SOURCE}; or a folder made by `liuli world`, to compare the model with the true probabilities.",
            show_default=False,
        ),
    ],
    valid: Annotated[
        str | None,
        typer.Option(
            metavar="content|tail:0.1|FILE",
            help="Evaluate only the validation split that a run with this --valid setting holds out.",
            show_default="the whole text",
        ),
    ] = None,
    length: Length = None,
    points: Points = 200,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Use this many CPU threads.", show_default="PyTorch's choice")
    ] = None,
    adapter: Adapter = None,
    pattern: Pattern = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Measure how well a model predicts a text: nats per token, bits per byte and perplexity, over non-overlapping windows."""
    check_model(model, adapter)
    _check_sources(sources, valid)

    import torch

    from liuli.data.split import split_texts
    from liuli.data.text.sources import Sources
    from liuli.evaluate import loss as measuring
    from liuli.generate.model import load

    check_compute(device, dtype, threads)
    if threads:
        torch.set_num_threads(threads)
    opened = load(model, device, dtype, pattern, adapter)
    tokenizer = _tokenizer(opened)
    if length is not None and not 1 <= length <= opened.config.context:
        raise LiuliError(f"--length must be from 1 to the model's context of {opened.config.context}, not {length}")
    world = _world(sources)
    texts = Sources([str(Path(sources[0]) / "documents.jsonl")] if world else sources, strict)
    documents = split_texts(texts, valid).validation() if valid is not None else texts.documents()
    found = measuring.evaluate(opened.decoder, tokenizer, documents, length or min(LENGTH, opened.config.context))
    note_skipped(texts.skipped)
    compared = _compare(opened, tokenizer, world, points) if world else None
    if json:
        body: dict[str, Any] = {"model": opened.identity(), "evaluation": found.to_json()}
        print_json(body | ({"world": compared.to_json()} if compared else {}))
    else:
        _print(found, compared)


def _check_sources(sources: list[str], valid: str | None) -> None:
    """Raises LiuliError: there is no such file or folder, or no such rule. Reads nothing, and does not import PyTorch."""
    from liuli.data.records.find_files import check_names
    from liuli.data.split import SplitRule
    from liuli.data.text.readers import TEXTS

    check_names(sources, TEXTS)
    if valid is not None:
        SplitRule.parse(valid)


def _tokenizer(opened: "Model") -> "Tokenizer":
    if opened.tokenizer is None:
        raise LiuliError(f"{opened.path} contains no tokenizer, so it cannot evaluate a text: add its tokenizer files")
    return opened.tokenizer


def _world(sources: list[str]) -> "World | None":
    """The world whose folder is the only source."""
    from liuli.world.folder import open_folder

    return open_folder(Path(sources[0])) if len(sources) == 1 else None


def _compare(opened: "Model", tokenizer: "Tokenizer", world: "World", points: int) -> "Comparison":
    from liuli.evaluate.against_world import compare_with_world

    return compare_with_world(opened.decoder, tokenizer, world, points)


def _print(found: "Evaluation", compared: "Comparison | None") -> None:
    say(f"{found.nats_per_token:.4f} nats/token, {found.bits_per_byte:.4f} bits/byte, perplexity {found.perplexity:.2f}")
    text = f"{counted(found.tokens, 'token')}, {counted(found.bytes, 'byte')}"
    say(f"over {text}, in {counted(found.windows, 'window')} of at most {counted(found.length, 'token')}")
    if compared:
        for line in comparison_lines(compared.to_json()):
            say(line)


def comparison_lines(found: dict[str, Any]) -> list[str]:
    """A comparison with the world (`Comparison.to_json`), for people."""
    lines = [
        "Difference from the true probabilities (KL divergence), in nats per choice (0 = perfect).",
        "A choice is a place in the text that has several possible continuations.",
        "A fact has one true value; a habit has several, each with a known frequency.",
    ]
    for kind, gap in found["gaps"].items():
        allowed = "" if gap["allowed"] is None else f"; {gap['allowed']:.1%} of the model's samples are possible in this world"
        lines.append(f"  {KINDS[kind]:<9}{_nats(gap['nats'])}  over {counted(gap['points'], 'choice')}{allowed}")
    facts = ", ".join(f"{share:.1%} in {lang}" for lang, share in found["facts"].items())
    lines.append(f"  whole documents {_nats(found['whole'])}; facts right: {facts}")
    lines.append(
        f"  habits: the largest frequency error of each habit, averaged: {found['habit_error']:.1f} percentage points; a single "
        f"habit can be off by more"
    )
    return lines


def _nats(number: float | None) -> str:
    return "infinite" if number is None else f"{number:.3f}"
