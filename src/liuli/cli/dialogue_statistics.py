"""Prints the statistics of dialogues, for `liuli data look`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from liuli.cli.output import Screen
from liuli.cli.statistics import print_counts, print_excerpt, quantiles
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.data.dialogues.statistics import DialogueStatistics


def print_dialogue_statistics(console: Screen, found: "DialogueStatistics") -> None:
    """Counts and lengths, scripts, what was skipped, and the beginnings of some dialogues."""
    print_counts(console, _rows(found), found.scripts, found.skipped)
    console.print("\nexcerpts")
    for excerpt in found.samples:
        more = f", {counted(excerpt.more, 'more message')}" if excerpt.more else ""
        console.print_text(f"  {excerpt.source}{more}", style="bold")
        for message in excerpt.messages:
            print_excerpt(console, message.text, message.cut, f"{message.role}: ")


def _rows(found: "DialogueStatistics") -> Iterator[tuple[str, str]]:
    yield "dialogues", f"{found.dialogues:,}"
    for file, layouts in found.layouts.items():
        yield "", f"{file}: {', '.join(f'{count:,} from {layout}' for layout, count in layouts.items())}"
    yield "messages", ", ".join(f"{count:,} {role}" for role, count in found.roles.items())
    yield "exchanges", f"{quantiles(found.exchanges, 'question')} per dialogue"
    yield "questions", quantiles(found.questions, "character")
    yield "replies", quantiles(found.replies, "character")
    repeated = f"{counted(found.repeated, 'dialogue')} with the first prompt of an earlier one, kept"
    yield "duplicates", repeated if found.repeated else "none"
    share = found.held_out / found.dialogues
    yield "held out", f"{found.held_out:,} of {counted(found.dialogues, 'dialogue')} ({share:.1%}): {found.how}"
    if found.shared:
        yield "in both splits", f"{counted(found.shared, 'held-out dialogue')} with a first prompt that is also trained on"
    for count, what, more in (
        (found.with_system, "dialogue", "with a system message"),
        (found.with_tools, "dialogue", "with tools"),
        (found.calls, "reply", "with tool calls"),
        (found.reasonings, "reply", "with a reasoning"),
        (found.weightless, "reply", "with weight 0: nothing is learned from them"),
        (found.unanswered, "dialogue", "without an answer to the last message"),
    ):
        if count:
            yield "", f"{counted(count, what, 'replies' if what == 'reply' else '')} {more}"
