"""`liuli data look`: describes a corpus or dialogues; `liuli data convert`: converts dialogues to one layout."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liuli.cli.dialogue_statistics import print_dialogue_statistics
from liuli.cli.help_text import Group, examples, with_examples
from liuli.cli.options import SOURCE, AsDialogues, Json, Strict, TextField
from liuli.cli.output import Screen, print_json
from liuli.cli.statistics import print_counts, print_excerpt, print_skipped, quantiles
from liuli.cli.work_progress import WorkProgress, work_progress
from liuli.display import on_line
from liuli.errors import LiuliError
from liuli.output_paths import check_new_file
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.data.dialogues.dialogues import Dialogues
    from liuli.data.dialogues.statistics import DialogueStatistics
    from liuli.data.split import SplitRule
    from liuli.data.text.statistics import CorpusStatistics

data = typer.Typer(
    help="Describe a corpus or dialogues, or convert dialogues.",
    no_args_is_help=True,
    cls=Group,
    epilog=examples(
        "liuli data look liuli-begin/world/documents.jsonl", "liuli data convert my-dialogues.json --out messages.jsonl"
    ),
)

LONGEST_BAR = 60  # cells of a share of 1
DialogueSources = Annotated[list[str], typer.Argument(metavar="DATA", help=f"The dialogues: {SOURCE}.", show_default=False)]


@data.command(
    **with_examples(
        "liuli data look liuli-begin/world/documents.jsonl",
        "liuli data look liuli-begin/dialogues.jsonl",
        "liuli data look my-texts --text-field content --dedup",
    )
)
def look(
    source: Annotated[
        list[str], typer.Argument(metavar="SOURCE", help=f"The text or the dialogues: {SOURCE}.", show_default=False)
    ],
    strict: Strict = False,
    dedup: Annotated[bool, typer.Option("--dedup", help="Skip documents that are exact duplicates of an earlier one.")] = False,
    valid: Annotated[
        str,
        typer.Option(
            metavar="content|tail:0.1|FILE",
            help="Hold out this part for validation: content (about one passage or dialogue in twenty, chosen by a hash of "
            "its text), tail:0.1 (the last 10 %), or a file.",
        ),
    ] = "content",
    dialogues: AsDialogues = False,
    text_field: TextField = None,
    json: Json = False,
) -> None:
    """Describe a corpus or dialogues: size, writing systems, lengths, duplicates, and what is skipped and why."""
    from liuli.data.split import SplitRule

    rule = SplitRule.parse(valid)
    with work_progress("reading") as work:
        from liuli.data.dialogues.recognise import hold_dialogues

        if dialogues and text_field:
            raise LiuliError("--text-field applies only to text, and --dialogues to dialogues: leave out one of them")
        if dialogues or (not text_field and hold_dialogues(source)):
            if dedup:
                raise LiuliError("--dedup applies only to text, and the sources are dialogues: leave out --dedup")
            of_dialogues = _look_at_dialogues(work, source, strict, rule)
            found, show = of_dialogues.to_json(), partial(print_dialogue_statistics, found=of_dialogues)
        else:
            of_text = _look_at_text(work, source, strict, dedup, rule, text_field)
            found, show = of_text.to_json(), partial(_print, found=of_text, dedup=dedup)
    if json:
        print_json({"sources": source} | found)
    else:
        show(Screen())


def _look_at_text(
    work: WorkProgress, source: list[str], strict: bool, dedup: bool, rule: "SplitRule", fields: list[str] | None
) -> "CorpusStatistics":
    from liuli.data.split import split_texts
    from liuli.data.text.sources import Sources
    from liuli.data.text.statistics import corpus_statistics

    sources = Sources(source, strict, dedup, work.reading, fields)
    work.expect(sources.files)
    return corpus_statistics(split_texts(sources, rule))


def _look_at_dialogues(work: WorkProgress, source: list[str], strict: bool, rule: "SplitRule") -> "DialogueStatistics":
    from liuli.data.dialogues.dialogues import Dialogues
    from liuli.data.dialogues.statistics import dialogue_statistics
    from liuli.data.split import split_dialogues

    read = Dialogues(source, strict, watch=work.reading)
    work.expect(read.files)
    return dialogue_statistics(split_dialogues(read, rule))


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
    with work_progress("reading") as work:
        dialogues = Dialogues(source, strict, watch=work.reading)
        work.expect(dialogues.files, "converting")
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
    print_skipped(console, dialogues.skipped)
    unanswered = dialogues.unanswered
    if unanswered:
        verb = "ends" if unanswered == 1 else "end"
        console.print_text(f"\n{counted(unanswered, 'dialogue')} {verb} without an answer: the last message is not supervised")
    console.print_text(f"\n{on_line(written)}")


def _print(console: Screen, found: "CorpusStatistics", dedup: bool) -> None:
    print_counts(console, _rows(found, dedup), found.scripts, found.skipped)
    console.print("\nexcerpts")
    for excerpt in found.samples:
        part = f", part {excerpt.part}" if excerpt.part else ""
        console.print_text(f"  {excerpt.source}{part}", style="bold")
        print_excerpt(console, excerpt.text, excerpt.cut)


def _rows(found: "CorpusStatistics", dedup: bool) -> Iterator[tuple[str, str]]:
    total, held, lengths = found.total, found.validation, found.lengths
    parts = "" if total.blocks == found.documents else f"; {counted(total.blocks, 'block')} (long documents are split)"
    yield "documents", f"{found.documents:,}{parts}"
    yield "characters", f"{total.characters:,}; {found.distinct:,} different"
    yield "bytes", f"{total.bytes:,} of UTF-8"
    yield "lengths", f"{quantiles(lengths, 'character')} per document"
    again = "skipped" if dedup else "kept"
    duplicates = f"{counted(found.duplicates, 'document')} with the text of an earlier one, {again}"
    yield "duplicates", duplicates if found.duplicates else "none"
    share = f"{held.characters / total.characters:.1%}"
    if total.blocks == 1 and found.documents == 1:
        amount = f"{held.characters:,} of {counted(total.characters, 'character')}"
    else:
        amount = f"{held.blocks:,} of {counted(total.blocks, 'block')}, {counted(held.characters, 'character')}"
    yield "held out", f"{amount} ({share}): {found.how}"
    if found.shared:
        where = "whose full text is also in the training data"
        yield "in both splits", f"{counted(found.shared, 'held-out document')} {where}"
    if found.dropped_marks:
        each = "mark at the beginning of a file" if found.dropped_marks == 1 else "marks at the beginning of files"
        yield "marks", f"{found.dropped_marks:,} byte order {each} dropped"
