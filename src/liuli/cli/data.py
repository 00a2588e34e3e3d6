"""`liuli data look`: a corpus, before training on it."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len

from liuli.cli.shared import Json, Strict, counted, print_json, visible

if TYPE_CHECKING:
    from rich.console import Console

    from liuli.data.look import Look

data = typer.Typer(help="See what a corpus holds.", no_args_is_help=True)


@data.callback()
def _group() -> None:
    """Keeps `look` a word of its own while it is the only command."""


@data.command()
def look(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Files, folders, - for standard input, hub:owner/dataset.",
            show_default=False,
        ),
    ],
    strict: Strict = False,
    dedup: Annotated[bool, typer.Option("--dedup", help="Leave out documents whose whole text came before.")] = False,
    valid: Annotated[
        str, typer.Option(help="What is held out: content (about one block in twenty), tail:0.1, or a file.")
    ] = "content",
    json: Json = False,
) -> None:
    """Say what a corpus holds: how much, in which scripts, how long, how often the same, what is left out and why."""
    from liuli.data.look import look as look_at
    from liuli.data.sources import Sources
    from liuli.data.validation import Validation

    validation = Validation.parse(valid)
    found = look_at(validation.split(Sources(source, strict, dedup)))
    if json:
        print_json({"sources": source} | found.to_json())
        return

    from rich.console import Console

    _print(Console(highlight=False), found, dedup)


def _print(console: "Console", found: "Look", dedup: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in _rows(found, dedup):
        table.add_row(*map(Text, row))
    console.print(table)
    console.print()
    for name, count in found.scripts.items():
        share = count / found.total.characters
        console.print(Text(f"{name:<12} {count:>14,}  {share:>6.1%}  {'█' * round(share * 40)}"))
    for skipped in found.skipped:
        console.print(Text(f"\nskipped {skipped.heading}"), soft_wrap=True)
        for place in skipped.places:
            console.print(Text(f"    {place}"), soft_wrap=True)
        if skipped.elsewhere:
            console.print(f"    and {skipped.elsewhere:,} in other files")
    console.print("\nexcerpts")
    for excerpt in found.samples:
        part = f", part {excerpt.part}" if excerpt.part else ""
        console.print(Text(f"  {excerpt.source}{part}", style="bold"), soft_wrap=True)
        shown = "".join(c if c in " ·" else visible(c, c.encode()) for c in excerpt.text) + "…" * excerpt.cut
        for line in _wrapped(shown, console.width - 4):
            console.print(Text(f"    {line}"), soft_wrap=True)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, of which a Chinese character has two, broken at it or between words of ASCII."""
    lines, used = [""], 0
    for unit in re.findall(r"[!-~]{1,20} ?|.", text):
        cells = cell_len(unit)
        if used + cells > width:
            lines, used = [*lines, ""], 0
        lines[-1] += unit
        used += cells
    return lines


def _rows(found: "Look", dedup: bool) -> Iterator[tuple[str, str]]:
    total, held, lengths = found.total, found.validation, found.lengths
    parts = "" if total.blocks == found.documents else f"; {counted(total.blocks, 'block')}"
    yield "documents", f"{found.documents:,}{parts}"
    yield "characters", f"{total.characters:,}; {found.distinct:,} different"
    yield "bytes", f"{total.bytes:,} of UTF-8"
    quantiles = f"min {lengths.min:,}, median {lengths.median:,.12g}, mean {lengths.mean:,.0f}, p95 {lengths.p95:,}"
    yield "lengths", f"{quantiles}, max {counted(lengths.max, 'character')} a document"
    again = "left out" if dedup else "kept"
    yield "duplicates", f"{found.duplicates:,} × a text that came before, {again}" if found.duplicates else "none"
    blocks = f"{held.blocks:,} of {counted(total.blocks, 'block')}"
    share = f"{counted(held.characters, 'character')} ({held.characters / total.characters:.1%})"
    yield "held out", f"{blocks}, {share}: {found.how}"
    if found.shared:
        yield "both sides", f"{counted(found.shared, 'document')} held out, and the same whole text trained on"
    if found.dropped_marks:
        each = "mark at the beginning of a file" if found.dropped_marks == 1 else "marks at the beginning of files"
        yield "marks", f"{found.dropped_marks:,} byte order {each} dropped"
