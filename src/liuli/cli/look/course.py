"""The drawings of a course: the stages of one pass, and the predictions of a run while it was trained."""

import math
from typing import TYPE_CHECKING

from rich.text import Text

from liuli.cli.look.drawing import by_id, fitted, heading, plain_table
from liuli.cli.output import Screen
from liuli.cli.wording import bar, percent, token_name
from liuli.display import visible
from liuli.units import byte_size, scaled

if TYPE_CHECKING:
    from liuli.inside.learning import LearningView, TrackedPrompt
    from liuli.inside.path import PathStage, PathView

BAR = 12
BLOCKS = 3  # the first and the last ones that are shown
LOOKS = 10  # recorded steps that are shown
NAME, SHARE = 12, 7
CANDIDATES = 5
FLOPS = ("TFLOP", "GFLOP", "MFLOP", "kFLOP", "FLOP")


def draw_path(screen: Screen, view: "PathView") -> None:
    """Prints a row per stage; of a deep model, the first and the last blocks."""
    heading(screen, f"{visible(view.input.text)} → {token_name(view.chosen)} ({percent(view.probability)})")
    table = plain_table("stage", "shape", "numbers", "memory", "cost", "", "length", "residual", "--view", right=(3, 4, 6, 7))
    most = max(stage.flops for stage in view.stages) or 1.0
    left_out = 0
    for stage in view.stages:
        if stage.layer is not None and BLOCKS <= stage.layer < view.model.layers - BLOCKS:
            left_out += stage.name == "attention"
            continue
        if left_out and stage.layer is not None:
            table.add_row(Text(f"… {left_out} more blocks", "dim"))
            left_out = 0
        table.add_row(*_stage(stage, most))
    screen.print(table)
    screen.print_text(f"The whole pass: {scaled(view.flops, 3, FLOPS)}, {view.model.parameters:,} parameters.")
    screen.print_text("length: of the vectors that a stage adds. residual: of the residual stream after it.", style="dim")


def _stage(stage: "PathStage", most: float) -> list[str | Text]:
    name = stage.name if stage.layer is None else f"block {stage.layer} {stage.name}"
    return [
        name,
        " × ".join(map(str, stage.shape)),
        stage.dtype,
        byte_size(stage.bytes),
        scaled(stage.flops, 3, FLOPS) if stage.flops else "",
        bar(stage.flops / most, BAR),
        "" if stage.size is None else f"{stage.size:.2f}",
        "" if stage.residual is None else f"{stage.residual:.2f}",
        Text(", ".join(stage.views), "dim"),
    ]


def draw_learning(screen: Screen, view: "LearningView") -> None:
    """Prints for every tracked prompt its most likely next tokens at some steps, and the truth."""
    heading(screen, f"{view.run}: {int(view.steps[-1]):,} steps, {view.tokens[-1]:,.0f} tokens")
    for prompt in view.prompts:
        _print_prompt(screen, view, prompt)


def _print_prompt(screen: Screen, view: "LearningView", prompt: "TrackedPrompt") -> None:
    heading(screen, f"after {visible(prompt.input.text)}")
    if prompt.truth:
        pieces = ", ".join(f"{visible(piece.text)} {piece.probability:.0%}" for piece in prompt.truth[:CANDIDATES])
        screen.print_text(f"in the world: {pieces}")
    names = by_id(prompt.candidates)
    count = max(1, min(CANDIDATES, prompt.top.shape[1], (screen.width - 14) // (NAME + SHARE + 2)))
    table = plain_table("step", "loss", *[""] * (2 * count), right=(0, 1, *range(3, 2 + 2 * count, 2)))
    for s in _some(len(view.steps)):
        loss = float(view.loss[s])
        cells = []
        for c in range(count):
            probability = math.exp(prompt.top_logprobs[s, c])
            cells += [fitted(token_name(names[int(prompt.top[s, c])]), NAME), percent(probability)]
        table.add_row(f"{int(view.steps[s]):,}", "" if math.isnan(loss) else f"{loss:.2f}", *cells)
    screen.print(table)


def _some(count: int) -> list[int]:
    """At most `LOOKS` places, the first and the last among them, at equal distances."""
    if count <= LOOKS:
        return list(range(count))
    return [round(place * (count - 1) / (LOOKS - 1)) for place in range(LOOKS)]
