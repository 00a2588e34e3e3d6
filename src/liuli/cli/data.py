"""`liuli data look`: describes a corpus; `liuli data convert`: converts dialogues to one layout."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len

from liuli.cli.help_text import Group, examples, with_examples
from liuli.cli.options import SOURCE, Json, Strict, TextSources
from liuli.cli.output import Screen, print_json
from liuli.cli.reading_progress import reading_progress
from liuli.cli.wording import bar, counted
from liuli.display import on_line, visible
from liuli.output_paths import check_new_file

if TYPE_CHECKING:
    from liuli.data.dialogues.dialogues import Dialogues
    from liuli.data.records.skipped import Skipped
    from liuli.data.text.statistics import CorpusStatistics

data = typer.Typer(
    help="Describe a corpus, or convert dialogues.",
    no_args_is_help=True,
    cls=Group,
    epilog=examples(
        "liuli data look liuli-begin/world/documents.jsonl", "liuli data convert my-dialogues.json --out messages.jsonl"
    ),
)

LONGEST_BAR = 60  # cells of a share of 1
DialogueSources = Annotated[list[str], typer.Argument(metavar="DATA", help=f"The dialogues: {SOURCE}.", show_default=False)]


@data.command(
    **with_examples("liuli data look liuli-begin/world/documents.jsonl", "liuli data look my-texts --dedup --valid tail:0.1")
)
def look(
    source: TextSources,
    strict: Strict = False,
    dedup: Annotated[bool, typer.Option("--dedup", help="Skip documents that are exact duplicates of an earlier one.")] = False,
    valid: Annotated[
        str,
        typer.Option(
            metavar="content|tail:0.1|FILE",
            help="Hold out this part for validation: content (about one block of text in twenty, chosen by a hash of the "
            "block), tail:0.1 (the last 10 %), or a file.",
        ),
    ] = "content",
    json: Json = False,
) -> None:
    """Describe a corpus: its size, writing systems, document lengths and duplicates, and what is skipped and why."""
    from liuli.data.split import SplitRule, split_texts
    from liuli.data.text.sources import Sources
    from liuli.data.text.statistics import corpus_statistics

    rule = SplitRule.parse(valid)
    with reading_progress() as watch:
        found = corpus_statistics(split_texts(Sources(source, strict, dedup, watch), rule))
    if json:
        print_json({"sources": source} | found.to_json())
        return

    _print(Screen(), found, dedup)


@data.command(**with_examples("liuli data convert my-dialogues.json --out messages.jsonl"))
def convert(
    source: DialogueSources,
    out: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Write the dialogues to this new file, whose name ends in .jsonl.", show_default=False
        ),
    ],
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Convert dialogues from any supported layout to one JSON object with messages per line.

    The layout of each file and what was skipped are reported.
    """
    from liuli.data.dialogues.dialogues import Dialogues
    from liuli.files import write_json_lines

    check_new_file(out, ".jsonl")
    with reading_progress() as watch:
        dialogues = Dialogues(source, strict, watch=watch)
        count = write_json_lines((dialogue.to_json() for dialogue in dialogues), Path(out))
    if json:
        skipped = [asdict(each) for each in dialogues.skipped]
        found = {"dialogues": count, "unanswered": dialogues.unanswered, "layouts": dialogues.layouts, "skipped": skipped}
        print_json({"sources": source, "out": out} | found)
        return

    _print_converted(Screen(), dialogues, f"{counted(count, 'dialogue')} written to {out}")


def _print_converted(console: Screen, dialogues: "Dialogues", written: str) -> None:
    for file, layouts in dialogues.layouts.items():
        found = ", ".join(f"{counted(count, 'dialogue')} from {layout}" for layout, count in layouts.items())
        console.print_text(f"{file}: {found}")
    _print_skipped(console, dialogues.skipped)
    unanswered = dialogues.unanswered
    if unanswered:
        verb = "ends" if unanswered == 1 else "end"
        console.print_text(f"\n{counted(unanswered, 'dialogue')} {verb} without an answer: the last message is not supervised")
    console.print_text(f"\n{on_line(written)}")


def _print_skipped(console: Screen, several: "list[Skipped]") -> None:
    for skipped in several:
        console.print_text(f"\nskipped {skipped.heading}")
        for place in skipped.places:
            console.print_text(f"    {place}")
        if skipped.elsewhere:
            console.print_text(f"    and {skipped.elsewhere:,} in other files")


def _print(console: Screen, found: "CorpusStatistics", dedup: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in _rows(found, dedup):
        table.add_row(*map(Text, row))
    console.print(table)
    console.print()
    widest = max(map(len, found.scripts))
    for name, count in found.scripts.items():
        numbers = f"{name:<{widest}}  {count:>{len(f'{found.total.characters:,}')},}  {count / found.total.characters:>6.1%}  "
        room = min(LONGEST_BAR, console.width - len(numbers))
        console.print_text(bar(count / found.total.characters, room), before=numbers)
    _print_skipped(console, found.skipped)
    console.print("\nexcerpts")
    for excerpt in found.samples:
        part = f", part {excerpt.part}" if excerpt.part else ""
        console.print_text(f"  {excerpt.source}{part}", style="bold")
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


def _rows(found: "CorpusStatistics", dedup: bool) -> Iterator[tuple[str, str]]:
    total, held, lengths = found.total, found.validation, found.lengths
    parts = "" if total.blocks == found.documents else f"; {counted(total.blocks, 'block')} (long documents are split)"
    yield "documents", f"{found.documents:,}{parts}"
    yield "characters", f"{total.characters:,}; {found.distinct:,} different"
    yield "bytes", f"{total.bytes:,} of UTF-8"
    quantiles = f"min {lengths.min:,}, median {lengths.median:,.12g}, mean {lengths.mean:,.0f}, p95 {lengths.p95:,}"
    yield "lengths", f"{quantiles}, max {counted(lengths.max, 'character')} per document"
    again = "skipped" if dedup else "kept"
    duplicates = f"{counted(found.duplicates, 'document')} with the text of an earlier one, {again}"
    yield "duplicates", duplicates if found.duplicates else "none"
    blocks = f"{held.blocks:,} of {counted(total.blocks, 'block')}"
    share = f"{counted(held.characters, 'character')} ({held.characters / total.characters:.1%})"
    yield "held out", f"{blocks}, {share}: {found.how}"
    if found.shared:
        where = "whose full text is also in the training data"
        yield "in both splits", f"{counted(found.shared, 'held-out document')} {where}"
    if found.dropped_marks:
        each = "mark at the beginning of a file" if found.dropped_marks == 1 else "marks at the beginning of files"
        yield "marks", f"{found.dropped_marks:,} byte order {each} dropped"
