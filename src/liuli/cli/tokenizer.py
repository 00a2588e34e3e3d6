"""`liuli tokenizer train`: from text to a tokenizer's folder, and how well that tokenizer compresses the text."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.background import exit_interrupted
from liuli.cli.help_text import Group, examples, with_examples
from liuli.cli.options import Force, Json, Strict, TextField, TextSources
from liuli.cli.output import Screen, note, note_skipped, print_json
from liuli.cli.wording import token_name
from liuli.cli.work_progress import work_progress
from liuli.units import counted

if TYPE_CHECKING:
    from rich.table import Table

    from liuli.tokens import Token
    from liuli.tokens.report import TokenizerReport
    from liuli.tokens.sample import TextSample

TRAIN = (
    "liuli tokenizer train liuli-begin/world/documents.jsonl --out my-tokenizer",
    "liuli tokenizer train my-texts --out my-tokenizer --kind char",
)

tokenizer = typer.Typer(help="Train a tokenizer.", no_args_is_help=True, cls=Group, epilog=examples(*TRAIN))
SHOWN = 12  # pieces of a list that a person is shown; --json has all
COLUMNS = "single token: the share of the unique characters that are one token each; by use: the same, weighted by frequency"
ROOMY = 60  # columns from which on the table has two spaces between its columns


@tokenizer.command(**with_examples(*TRAIN))
def train(
    sources: TextSources,
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Write the tokenizer to this new or empty folder.", show_default=False)
    ],
    kind: Annotated[
        str,
        typer.Option(metavar="bpe|char", help="Train this kind of tokenizer: byte-level BPE, or one token per character."),
    ] = "bpe",
    vocab_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Make a vocabulary of this size, special tokens included.",
            show_default="6400, or fewer if the text is too short",
        ),
    ] = None,
    force: Force = False,
    text_field: TextField = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Train a tokenizer on texts, and report how well it compresses them, per script."""
    from liuli.data.text.sources import Sources
    from liuli.tokens import open_tokenizer
    from liuli.tokens.report import report
    from liuli.tokens.train import TOKENIZER, check_tokenizer_folder
    from liuli.tokens.train import train as train_tokenizer

    check_tokenizer_folder(out, force)
    replaced = (Path(out) / TOKENIZER).exists()
    outcome = "nothing was written"
    try:
        with work_progress("reading") as work:
            texts = Sources(sources, strict, watch=work.reading, fields=text_field)
            work.expect(texts.files)
            documents = (document.text for document in texts.documents())
            trained = train_tokenizer(documents, kind, vocab_size, work.show)
            outcome = f"{out} may be incomplete"
            trained.write(out, force)
            outcome = f"{out} is complete, but there is no report on it"
            sample = work.counting(trained.sample.texts(), "encoding the sample for the report", trained.sample.count)
            found = report(open_tokenizer(out), sample)
    except KeyboardInterrupt:
        note(f"interrupted: {outcome}")
        exit_interrupted()
    note_skipped(texts.skipped)
    if replaced:
        note(f"replaced the tokenizer that was in {out}")
    if json:
        print_json({"path": out, "sample": _sample(trained.sample), "report": found.to_json()})
    else:
        _print(found, trained.sample, out)


def _sample(sample: "TextSample") -> dict[str, Any]:
    return {"bytes": sample.bytes, "of_bytes": sample.total_bytes, "blocks": len(sample.blocks)}


def _print(found: "TokenizerReport", sample: "TextSample", out: str) -> None:
    part = "all" if sample.bytes == sample.total_bytes else f"a random sample of {sample.bytes:,}"
    total = counted(sample.total_bytes, "byte")
    screen = Screen()
    screen.print_text(f"{out}: {found.kind}, {found.vocab_size:,} tokens, trained on {part} of {total}")
    screen.print(_table(found, screen.width))
    screen.print_text(COLUMNS)
    for row in found.scripts:
        if row.longest and len(row.longest[0].text) > 1:
            screen.print_text(f"longest tokens, {row.script}: {'  '.join(map(token_name, row.longest))}")
    if found.pieces and found.kind != "characters":  # of which each is whole, and there for the text
        readable = [piece for piece in found.unused if piece not in found.broken]
        unused = f"{len(found.unused):,} of {found.pieces:,}"
        screen.print_text(f"tokens of several bytes that do not occur in the sample: {unused}{_first(readable)}")
        screen.print_text(f"tokens that contain an incomplete character: {len(found.broken):,} of {found.pieces:,}")


def _table(found: "TokenizerReport", columns: int) -> "Table":
    """Fits 50 columns of a terminal, whatever the sample."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 1 + (columns >= ROOMY), 0, 0), pad_edge=False)
    table.add_column("script", no_wrap=True, min_width=6)
    per_token = ("bytes\nper\ntoken", "chars\nper\ntoken")
    for heading in ("tokens", *per_token, "unique\nchars", "single\ntoken", "single\ntoken\nby use"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in found.scripts:
        per_token = (f"{row.bytes_per_token:.3f}", f"{row.characters_per_token:.3f}")
        shares = (f"{row.distinct:,}", f"{row.single:.1%}", f"{row.single_weighted:.2%}")
        table.add_row(row.script, f"{row.tokens:,}", *per_token, *shares)
    table.add_row("all", f"{found.tokens:,}", f"{found.bytes / found.tokens:.3f}", f"{found.characters / found.tokens:.3f}")
    return table


def _first(pieces: "list[Token]") -> str:
    """The first of some pieces, after a colon; nothing if there are none."""
    shown = list(map(token_name, pieces[:SHOWN]))
    if len(pieces) > SHOWN:
        shown.append("…")
    return f": {'  '.join(shown)}" if pieces else ""
