"""What the drawings of views share: names of tokens, headings, shaded cells, and the lines below a view."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from liuli.cli.output import Screen
from liuli.cli.wording import token_name
from liuli.display import visible
from liuli.inside.caveats import caveat
from liuli.tokens.scripts import script_of
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.inside.arrays import Array
    from liuli.inside.next_word import NextWord
    from liuli.inside.passage import PassageToken
    from liuli.inside.self_check import SelfCheck
    from liuli.inside.view import View
    from liuli.tokens import Token

SHADES = " ░▒▓█"
AGAINST = "red"  # what speaks against a prediction
CELLS = 2  # of a value in a grid
MOST_CAVEATS = 2


def shade(share: float) -> str:
    """One cell: the darker, the larger a share of 1."""
    return SHADES[min(len(SHADES) - 1, max(0, round(share * (len(SHADES) - 1))))]


def passage_token_name(token: "PassageToken") -> str:
    """A token at its place: a part of a character is shown as the character and which part it is."""
    first, count = token.part
    if count > 1:
        return f"{visible(token.shown)}({first + 1}/{count})"
    return visible(token.shown, bytes(token.bytes)) or "∅"


def fitted(name: str, cells: int) -> str:
    """Exactly as many cells: shortened with an ellipsis, or filled with spaces."""
    return set_cell_size(name, cells) if cell_len(name) <= cells else set_cell_size(name, cells - 1) + "…"


def by_id(tokens: "Sequence[Token]") -> "dict[int, Token]":
    """Tokens by their ids."""
    return {token.id: token for token in tokens}


def heading(screen: Screen, text: str) -> None:
    """A heading between two parts of a view."""
    screen.print()
    screen.print_text(text, style="bold")


def print_words(screen: Screen, words: "Sequence[NextWord]") -> None:
    """Which token each word means that was given with --word."""
    for word in words:
        name = token_name(word.token)
        if word.tokens == 1:
            screen.print_text(f"{visible(word.given)} is read as the token {name}.", style="dim")
        else:
            pieces = f"{visible(word.given)} has {word.tokens} tokens here"
            screen.print_text(f"{pieces}, and only the first one is followed: {name}.", style="dim")


def print_introduction(screen: Screen, view: "View", shows: str) -> None:
    """What the view shows, and of which model."""
    screen.print_text(shows, style="bold")
    model = view.model
    adapter = f" with the adapter {model.adapter['path']}" if model.adapter else ""
    sizes = f"{counted(model.layers, 'layer')} of {counted(model.heads, 'head')}"
    screen.print_text(f"{model.path}{adapter}: {sizes}, {counted(model.parameters, 'parameter')}", style="dim")


def print_checks(screen: Screen, view: "View") -> None:
    """The caveats that matter most, in Chinese too if the text is Chinese, and whether the view's checks hold."""
    screen.print()
    chinese = reads_chinese(view)
    for key in relevant_caveats(view):
        screen.print_text(caveat(key), style="dim")
        if chinese:
            screen.print_text(caveat(key, "zh"), style="dim")
    print_failed_checks(screen, view.checks)
    held = sum(check.ok for check in view.checks)
    screen.print_text(f"Self-checks that hold: {held} of {len(view.checks)}.", style="dim")


def print_failed_checks(screen: Screen, checks: "Sequence[SelfCheck]") -> None:
    """A line for each check that does not hold."""
    for check in checks:
        if not check.ok:
            limits = f"{check.meaning} is {check.value:g} {check.unit} (limit {check.limit:g}). The numbers may be wrong"
            screen.print_text(f"self-check failed: {limits}: please report this", style="red")


def relevant_caveats(view: "View") -> list[str]:
    """The keys of the first caveats of a view that concern this text. The others are in the JSON and in docs/inside.md."""
    split = any(count > 1 for token in view.input.tokens for count in token.part[1:])
    concerned = {"token.bytes": split, "lens.language": reads_chinese(view)}
    return [key for key in view.caveats if concerned.get(key, True)][:MOST_CAVEATS]


def reads_chinese(view: "View") -> bool:
    """Whether there is a Chinese character in the text of a view."""
    return any(script_of(character) == "Han" for character in view.input.text)


def print_grid(screen: Screen, rows: Sequence[str], values: "Array", after: Sequence[str] = ()) -> None:
    """A grid of shaded cells.

    Args:
        values: (rows, columns), shown as shares of the largest absolute value. A negative value is red, or has a minus sign if
            there are no colours.
        after: printed after each row.
    """
    largest = float(abs(values).max(initial=0)) or 1.0
    left = max(map(cell_len, rows), default=0) + 2
    for r, (name, row) in enumerate(zip(rows, values, strict=True)):
        line = Text().append(fitted(name, left), "dim")
        for value in row:
            share = float(value) / largest
            sign = "-" if share < 0 and screen.color_system is None and shade(-share) != " " else ""
            line.append(shade(abs(share)) * (CELLS - len(sign)) + sign, AGAINST if share < 0 else "")
        if after:
            line.append(f"  {after[r]}")
        screen.print(line, soft_wrap=True)
