"""The drawing of one word in several sentences."""

import math
from typing import TYPE_CHECKING

from rich.text import Text

from liuli.cli.look.drawing import by_id, fitted, heading, passage_token_name
from liuli.cli.look.table import ACCENT, Bar, Cell, Column, print_items, print_table, table_fits
from liuli.cli.output import Screen
from liuli.cli.wording import token_name
from liuli.display import visible

if TYPE_CHECKING:
    from liuli.inside.context import ContextView, WordInSentence

MOST_ROWS = 14  # layers that are shown; of a deeper model every second, third …
NAME = 8  # cells of a predicted token
EXPLAINED = (
    "Similarity: the cosine of the two vectors, after each dimension was standardised. 1: the same direction; 0: unrelated. "
    "Random pairs: the same between different tokens of unrelated sentences."
)


def draw_context(screen: Screen, view: "ContextView") -> None:
    """Prints how the tokenizer split the word, and for every place how similar the vectors are and what the layers predict."""
    heading(screen, f"“{visible(view.word)}” in {len(view.sentences)} sentences")
    for number, sentence in enumerate(view.sentences, 1):
        _print_sentence(screen, number, sentence)
    _explain_tokens(screen, view)
    shown: list[int] = []
    for p, place in enumerate(view.places):
        positions = [sentence.places[p] for sentence in view.sentences]
        if positions != shown:
            single = p == 0 and positions == [sentence.places[1] for sentence in view.sentences]
            heading(screen, "At the word" if single else f"At the {place}")
            _print_place(screen, view, p)
        shown = positions
    screen.print_text(EXPLAINED, style="dim")
    heading(
        screen, f"From which tokens the last token of “{visible(view.word)}” reads most, except from itself and the first token"
    )
    for number, sentence in enumerate(view.sentences, 1):
        reads = [
            f"{passage_token_name(sentence.input.tokens[read.source])} {read.share:.1%} (layer {read.layer}, head {read.head}, "
            f"weight {read.weight:.0%})"
            for read in sentence.reads
        ]
        print_items(screen, reads or ["from no other token"], before=f"{number}  ")
    screen.print_text(
        "A share: weight × size of the value, compared with the length of the vector into which the layer reads. It can "
        "exceed 100 %, because what one head adds, others can cancel.",
        style="dim",
    )


def _print_sentence(screen: Screen, number: int, sentence: "WordInSentence") -> None:
    """The tokens of a sentence; those of the word are in brackets. If the word occurs again, which occurrence is shown."""
    start, end = sentence.span
    line = Text()
    for token in sentence.input.tokens:
        opening, closing = "[" if token.index == start else "", "]" if token.index == end - 1 else ""
        name = f"{opening}{passage_token_name(token)}{closing}"
        line.append(name, f"bold {ACCENT}" if start <= token.index < end else "").append(" ")
    screen.print_text(line, before=f"{number}  ")
    occurrence, count = sentence.occurrence
    if count > 1:
        screen.print_text(f"occurrence {occurrence + 1} of {count}", before="   ", style="dim")


def _explain_tokens(screen: Screen, view: "ContextView") -> None:
    """Says so if there is no vector of the word alone."""
    joined = [sentence.covered.strip() for sentence in view.sentences if sentence.covered.strip() != view.word.strip()]
    if joined:
        screen.print_text(
            f"The tokenizer joins “{visible(view.word)}” with its neighbours. The vectors are of "
            f"{', '.join(map(visible, dict.fromkeys(joined)))}.",
            style="dim",
        )


def _print_place(screen: Screen, view: "ContextView", p: int) -> None:
    """The first sentence and each other one at one place, layer by layer; then what each layer predicts there. Both are one
    table if there is room."""
    same = view.same_prefix[p][0]
    others = [other for other in range(1, len(view.sentences)) if not same[other]]
    for other in range(1, len(view.sentences)):
        if same[other]:
            screen.print_text(
                f"Sentences 1 and {other + 1} have the same tokens up to here, so their vectors are identical in every layer: "
                "the model cannot see what comes later."
            )
    if not others:
        return
    last = len(view.rows) - 1
    step = math.ceil(len(view.rows) / MOST_ROWS)
    shown = [r for r in range(len(view.rows)) if r % step == 0 or r == last]
    similar = [Column("layer"), *(Column(f"similarity 1 and {other + 1}") for other in others), Column("random pairs", spare=1)]
    similar_rows = [_similar(view, p, r, others) for r in shown]
    predicts = [Column(f"predicts in {s + 1}" if s == 0 else f"in {s + 1}") for s in (0, *others)]
    predicts_rows = [[_predicted(view, p, r, s) for s in (0, *others)] for r in shown]
    together = [*similar, *predicts]
    rows = [[*one, *other] for one, other in zip(similar_rows, predicts_rows, strict=True)]
    if table_fits(screen, together, rows):
        print_table(screen, together, rows)
        return
    print_table(screen, similar, similar_rows)
    screen.print()
    print_table(
        screen, [Column("layer"), *predicts], [[view.rows[r], *row] for r, row in zip(shown, predicts_rows, strict=True)]
    )


def _similar(view: "ContextView", p: int, r: int, others: list[int]) -> list[Cell]:
    mean, deviation = view.baseline_standardised[r]
    values = [float(view.standardised[p, r, 0, other]) for other in others]
    return [view.rows[r], *(Bar(max(0.0, value), f"{value:+.2f}") for value in values), f"{mean:+.2f} ± {deviation:.2f}"]


def _predicted(view: "ContextView", p: int, r: int, sentence: int) -> str:
    token = by_id(view.candidates)[int(view.top[p, r, sentence, 0])]
    return f"{fitted(token_name(token), NAME)} {math.exp(view.top_logprobs[p, r, sentence, 0]):>4.0%}"
