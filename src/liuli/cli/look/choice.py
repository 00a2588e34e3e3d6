"""The drawings of a choice: the line from 0 to 1 with its intervals, and the tree of other choices."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from liuli.cli.look.drawing import ACCENT, fitted, heading
from liuli.cli.output import Screen
from liuli.cli.step_record import explain_steps, print_step
from liuli.cli.wording import percent, token_name
from liuli.display import on_line, visible

if TYPE_CHECKING:
    from liuli.inside.branches import BranchesView, BranchNode
    from liuli.inside.candidates import CandidatesView

SHOWN = 12  # candidates in the table


def draw_candidates(screen: Screen, view: "CandidatesView") -> None:
    """Prints the step as `liuli complete --steps` does, and the line from 0 to 1."""
    greedy = view.sampling.temperature == 0
    scores = view.step.scores
    assert scores is not None
    screen.print()
    if not greedy:
        explain_steps(screen)
    shown = replace(scores, candidates=scores.candidates[:SHOWN])
    print_step(screen, replace(view.step, scores=shown), greedy)
    if not greedy:
        heading(screen, "The line from 0 to 1")
        _print_line(screen, view)


def _print_line(screen: Screen, view: "CandidatesView") -> None:
    """The intervals of the listed tokens in the order of their ids, as wide as they are long, and an arrow at the random
    number. What the other tokens share is dotted."""
    scores, uniform = view.step.scores, view.step.uniform
    assert scores is not None and uniform is not None and view.step.token is not None
    width = screen.width - 4
    line = ["·"] * width
    for each in scores.candidates:
        if each.interval is None:
            continue
        start, end = (min(width, round(bound * width)) for bound in each.interval)
        name = token_name(each.token)
        cells = end - start
        if cells < 1:
            continue
        inner = fitted(name, cells - 1) if cells - 1 >= cell_len(name) else " " * (cells - 1)
        line[start:end] = ["│", *inner, *[""] * (cells - 1 - len(inner))]
    arrow = min(width - 1, int(uniform * width))
    screen.print(Text.assemble("0 ", "".join(line), " 1"), soft_wrap=True)
    screen.print(Text(" " * (arrow + 2) + f"▲ {uniform:.4f}", f"bold {ACCENT}"), soft_wrap=True)


def draw_branches(screen: Screen, view: "BranchesView") -> None:
    """Prints the model's own continuation, then at each of its first tokens what follows another choice."""
    own = view.branches[0]
    heading(screen, "The model's own continuation")
    screen.print_text(_continuation(view, own.leaf, 0), before="  ")
    text = ""
    for depth, node in enumerate(_path(view, own.leaf)):
        tried = [
            (branch, other)
            for branch in view.branches[1:]
            for other in _path(view, branch.leaf)[depth : depth + 1]
            if other.origin == "tried" and other.parent == node.parent
        ]
        if tried:
            heading(screen, f"If another token had followed …{visible(text[-20:])}" if text else "If another first token had been chosen")
            chosen = math.exp(node.logprob)
            screen.print_text(f"chosen: {token_name(node.token)} {percent(chosen)}", style="dim", before="  ")
            for branch, _ in tried:
                screen.print_text(_continuation(view, branch.leaf, depth), before="  ")
        text += node.token.text
    numbers = " ".join(f"{node.uniform:.3f}" for node in _path(view, own.leaf))
    screen.print()
    screen.print_text(f"The random numbers of all branches: {numbers}", style="dim")


def _path(view: "BranchesView", leaf: int) -> "list[BranchNode]":
    """The nodes from the first token to the leaf."""
    found = []
    node: int | None = leaf
    while node is not None:
        found.insert(0, view.nodes[node])
        node = view.nodes[node].parent
    return found


def _continuation(view: "BranchesView", leaf: int, depth: int) -> Text:
    """The tokens from `depth` on: the first with its probability, and the whole text after it."""
    nodes = _path(view, leaf)[depth:]
    first = nodes[0]
    rest = "".join(node.token.text for node in nodes[1:] if not node.token.special)
    end = " ⏹" if nodes[-1].stop else " …"
    line = Text()
    line.append(token_name(first.token), f"bold {ACCENT}").append(f" {percent(math.exp(first.logprob))}  ", "dim")
    line.append(on_line(rest)).append(end, "dim")
    line.append(f"  {nodes[-1].total:.1f} nats", "dim")
    return line
