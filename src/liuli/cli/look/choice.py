"""The drawings of a choice: the line from 0 to 1 with its intervals, and the tree of other choices."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from liuli.cli.look.drawing import heading
from liuli.cli.look.table import ACCENT, Column, print_items, print_table
from liuli.cli.output import Screen
from liuli.cli.step_record import explain_steps, print_step
from liuli.cli.wording import percent, token_name
from liuli.display import on_line, visible

if TYPE_CHECKING:
    from liuli.inside.branches import BranchesView, BranchNode
    from liuli.inside.candidates import CandidatesView

SHOWN = 12  # candidates in the table
INTERVALS = "░▒"  # of neighbours on the line, in turn
CHOSEN = "█"
BEFORE = 20  # characters of the text before a fork


def draw_candidates(screen: Screen, view: "CandidatesView") -> None:
    """Prints the step as `liuli complete --steps` does, and the line from 0 to 1."""
    greedy = view.sampling.temperature == 0
    scores = view.step.scores
    assert scores is not None and view.step.token is not None
    screen.print()
    if not greedy:
        explain_steps(screen)
    listed = [each for n, each in enumerate(scores.candidates) if n < SHOWN or each.token.id == view.step.token.id]
    shown = replace(scores, candidates=listed)
    print_step(screen, replace(view.step, scores=shown), greedy)
    if not greedy:
        heading(screen, "The line from 0 to 1")
        _print_line(screen, view)


def _print_line(screen: Screen, view: "CandidatesView") -> None:
    """The intervals of the listed tokens in the order of their ids, as wide as they are long, with their names above them as
    far as there is room, and an arrow at the random number. What the other tokens share is dotted."""
    scores, uniform, token = view.step.scores, view.step.uniform, view.step.token
    assert scores is not None and uniform is not None and token is not None
    width = screen.width - 4
    names, line = [" "] * width, [("·", "dim")] * width
    arrow = min(width - 1, int(uniform * width))
    intervals = sorted((each.interval, each.token) for each in scores.candidates if each.interval is not None)
    for number, (interval, each) in enumerate(intervals):
        start, end = (min(width, round(bound * width)) for bound in interval)
        if each.id == token.id:
            start, end = min(start, arrow), max(end, arrow + 1)
            line[start:end] = [(CHOSEN, ACCENT)] * (end - start)
        else:
            line[start:end] = [(INTERVALS[number % 2], "")] * (end - start)
        name = token_name(each)
        cells = cell_len(name)
        if cells < end - start or (each.id == token.id and start + cells <= width):
            names[start : start + cells] = [name, *[""] * (cells - 1)]
    screen.print(Text(f"  {''.join(names).rstrip()}"), soft_wrap=True)
    screen.print(Text.assemble("0 ", *line, " 1"), soft_wrap=True)
    label = f"▲ {uniform:.4f} → {token_name(token)}"
    if arrow + cell_len(label) > width:
        label = f"{token_name(token)} ← {uniform:.4f} ▲"
        arrow = max(0, arrow + 1 - cell_len(label))
    screen.print(Text(" " * (arrow + 2) + label, f"bold {ACCENT}"), soft_wrap=True)


def draw_branches(screen: Screen, view: "BranchesView") -> None:
    """Prints the model's own continuation, then at each of its first tokens what follows another choice."""
    own = view.branches[0]
    heading(screen, "The model's own continuation")
    _print_continuations(screen, view, [own.leaf], 0)
    text = ""
    for depth, node in enumerate(_path(view, own.leaf)):
        tried = [
            branch.leaf
            for branch in view.branches[1:]
            for other in _path(view, branch.leaf)[depth : depth + 1]
            if other.origin == "tried" and other.parent == node.parent
        ]
        if tried:
            before = visible(text[-BEFORE:])
            heading(
                screen, f"If another token had followed after …{before}" if text else "If another first token had been chosen"
            )
            _print_continuations(screen, view, [own.leaf, *tried], depth)
        text += node.token.text
    screen.print()
    numbers = [f"{node.uniform:.3f}" for node in _path(view, own.leaf)]
    print_items(screen, numbers, before="The random numbers of all branches:  ", style="dim")


def _path(view: "BranchesView", leaf: int) -> "list[BranchNode]":
    """The nodes from the first token to the leaf."""
    found = []
    node: int | None = leaf
    while node is not None:
        found.insert(0, view.nodes[node])
        node = view.nodes[node].parent
    return found


def _print_continuations(screen: Screen, view: "BranchesView", leaves: list[int], depth: int) -> None:
    """A row per branch: its token at `depth` with its probability, what follows, and the log-probability of the whole branch.
    If there are several, the first is marked as the model's own."""
    rows = []
    for number, leaf in enumerate(leaves):
        nodes = _path(view, leaf)
        first, rest = nodes[depth], nodes[depth + 1 :]
        text = "".join(node.token.text for node in rest if not node.token.special)
        chosen = "←" if number == 0 and len(leaves) > 1 else ""
        continued = Text(f"…{on_line(text)}").append(" (end)" if nodes[-1].stop else " …", "dim")
        rows.append([Text(token_name(first.token), f"bold {ACCENT}"), percent(math.exp(first.logprob)), chosen,
                     f"{nodes[-1].total:.1f}", continued])  # fmt: skip
    columns = [
        Column("token"),
        Column("probability", right=True),
        Column(""),
        Column("nats", right=True, spare=1),
        Column("continued"),
    ]
    print_table(screen, columns, rows)
