"""The drawing of one word in several sentences."""

import math
from typing import TYPE_CHECKING

from rich.text import Text

from liuli.cli.look.drawing import ACCENT, by_id, fitted, heading, passage_token_name, plain_table
from liuli.cli.output import Screen
from liuli.cli.wording import bar, percent, token_name

if TYPE_CHECKING:
    from liuli.inside.context import ContextView, WordInSentence

BAR = 20
MOST_ROWS = 14  # layers that are shown; of a deeper model every second, third …


def draw_context(screen: Screen, view: "ContextView") -> None:
    """Prints how the tokenizer cut the word, and for every place how similar the vectors are and what the layers predict."""
    heading(screen, f"The word {view.word} in {len(view.sentences)} sentences")
    for number, sentence in enumerate(view.sentences, 1):
        _print_sentence(screen, number, sentence, view.word)
    shown: list[int] = []
    for p, place in enumerate(view.places):
        positions = [sentence.places[p] for sentence in view.sentences]
        if positions == shown:
            continue
        shown = positions
        for other in range(1, len(view.sentences)):
            _print_pair(screen, view, p, other)
    _print_reads(screen, view)


def _print_sentence(screen: Screen, number: int, sentence: "WordInSentence", word: str) -> None:
    line = Text(f"{number}  ")
    for token in sentence.input.tokens:
        inside = sentence.span[0] <= token.index < sentence.span[1]
        line.append(f"{passage_token_name(token)} ", f"bold {ACCENT}" if inside else "")
    screen.print_text(line)
    if sentence.covered != word:
        screen.print_text(
            f"Its tokens cover {sentence.covered}: the tokenizer has joined the word with its neighbours, so there is no vector "
            "of the word alone.",
            style="dim",
            before="   ",
        )


def _print_pair(screen: Screen, view: "ContextView", p: int, other: int) -> None:
    """The first sentence and another one at one place, layer by layer."""
    heading(screen, f"Sentences 1 and {other + 1} at the {view.places[p]}")
    if view.same_prefix[p][0][other]:
        screen.print_text(
            "Both have the same tokens up to here, so the vectors are identical in every layer: the model cannot see what comes "
            "later."
        )
        return
    names = by_id(view.candidates)
    table = plain_table("layer", "standardised cosine", "", "random pairs", "cosine", "predicts in 1", f"in {other + 1}", right=(1, 3, 4))
    step = math.ceil(len(view.rows) / MOST_ROWS)
    for r, row in enumerate(view.rows):
        if r % step and r != len(view.rows) - 1:
            continue
        similar = float(view.standardised[p, r, 0, other])
        mean, deviation = view.baseline_standardised[r]
        predicted = []
        for sentence in (0, other):
            token = names[int(view.top[p, r, sentence, 0])]
            predicted.append(f"{fitted(token_name(token), 9)} {percent(math.exp(view.top_logprobs[p, r, sentence, 0])):>6}")
        table.add_row(
            row,
            f"{similar:+.2f}",
            Text(bar(max(0.0, similar), BAR), ACCENT),
            f"{mean:+.2f} ± {deviation:.2f}",
            f"{view.cosine[p, r, 0, other]:+.2f}",
            *predicted,
        )
    screen.print(table)


def _print_reads(screen: Screen, view: "ContextView") -> None:
    heading(screen, f"Where the last token of {view.word} reads, except from itself and from the first token")
    for number, sentence in enumerate(view.sentences, 1):
        reads = [
            f"{passage_token_name(sentence.input.tokens[read.source])} {read.weight:.0%} (layer {read.layer}, head {read.head})"
            for read in sentence.reads
        ]
        screen.print_text(", ".join(reads) or "nothing", before=f"{number}  ")
