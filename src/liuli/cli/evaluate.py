"""`liuli evaluate`: how well a model predicts a text; where the text is a world, how far it is from the truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.cli.options import Adapter, Device, Dtype, Folder, Json, Pattern, Strict, check_compute
from liuli.cli.output import note_skipped, print_json, say
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.evaluate.loss import Evaluation
    from liuli.generate.model import Model
    from liuli.tokens import Tokenizer
    from liuli.world import Comparison, World

LENGTH = 1024  # tokens of a window, at most, unless asked
KINDS = {"wording": "wordings", "entity": "names", "fact": "facts", "habit": "habits"}


def evaluate(
    model: Folder,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE", help="Files, folders, hub:owner/dataset or -; or a world's folder.", show_default=False
        ),
    ],
    valid: Annotated[
        str | None,
        typer.Option(
            metavar="content|tail:0.1|FILE", help="Only what a training that is told so holds out.", show_default="all"
        ),
    ] = None,
    length: Annotated[
        int | None, typer.Option(help="Tokens of a window.", show_default=f"the model's context, at most {LENGTH}")
    ] = None,
    points: Annotated[int, typer.Option(help="Of a world: choices of each kind that are compared.")] = 200,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="PyTorch's choice")] = None,
    adapter: Adapter = None,
    pattern: Pattern = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Measure a model on a text: nats a token, bits a byte, perplexity, in non-overlapping windows over all of it."""
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
    documents = split_texts(texts, valid).validation() if valid else texts.documents()
    found = measuring.evaluate(opened.decoder, tokenizer, documents, length or min(LENGTH, opened.config.context))
    note_skipped(texts.skipped)
    compared = _compare(opened, tokenizer, world, points) if world else None
    if json:
        body: dict[str, Any] = {"model": opened.identity(), "evaluation": found.to_json()}
        print_json(body | ({"world": compared.to_json()} if compared else {}))
    else:
        _print(found, compared)


def _tokenizer(opened: "Model") -> "Tokenizer":
    if opened.tokenizer is None:
        raise LiuliError(f"{opened.path} holds no tokenizer: a text cannot be evaluated")
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
    say(f"over {found.tokens:,} tokens, {found.bytes:,} bytes, in {found.windows:,} windows of at most {found.length:,} tokens")
    if compared:
        for line in comparison_lines(compared.to_json()):
            say(line)


def comparison_lines(found: dict[str, Any]) -> list[str]:
    """A comparison with the world (`Comparison.to_json`), for people."""
    lines = ["How far from the truth, nats a choice (0: it knows all that can be known):"]
    for kind, gap in found["gaps"].items():
        allowed = "" if gap["allowed"] is None else f"; {gap['allowed']:.1%} of what it writes there is possible"
        lines.append(f"  {KINDS[kind]:<9}{_nats(gap['nats'])}  over {gap['points']} choices{allowed}")
    facts = ", ".join(f"{share:.1%} in {lang}" for lang, share in found["facts"].items())
    error = f"{found['habit_error']:.1f}"
    lines.append(f"  whole documents {_nats(found['whole'])}; facts right: {facts}; habits off by {error} points at most")
    return lines


def _nats(number: float | None) -> str:
    return "infinite" if number is None else f"{number:.3f}"
