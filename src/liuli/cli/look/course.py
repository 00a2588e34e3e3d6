"""The drawings of a course: the stages of one pass, one step of learning, and the predictions of a run while it was trained."""

import math
from typing import TYPE_CHECKING

from rich.text import Text

from liuli.cli.look.drawing import by_id, fitted, heading, passage_token_name
from liuli.cli.look.table import Bar, Cell, Column, print_items, print_table
from liuli.cli.output import Screen
from liuli.cli.wording import percent, token_name
from liuli.display import visible
from liuli.units import byte_size, scaled

if TYPE_CHECKING:
    from liuli.inside.gradient import GradientView
    from liuli.inside.learning import LearningView, TrackedPrompt
    from liuli.inside.path import PathStage, PathView
    from liuli.tokens import Token

BLOCKS = 3  # the first and the last ones that are shown
LOOKS = 10  # recorded steps that are shown
NAME = 16  # cells of a token's name, at most
FOLLOWED = 3  # tokens with a column of their own
LEAST_FOLLOWED = 0.01  # their probability at the last step
LISTED = 8  # tensors
THE_END = "(the end)"
FLOPS = ("TFLOP", "GFLOP", "MFLOP", "kFLOP", "FLOP")
VIEWS = "--view"


def draw_path(screen: Screen, view: "PathView") -> None:
    """Prints a row per stage; of a deep model, the first and the last blocks."""
    heading(screen, f"{visible(view.input.text)} → {token_name(view.chosen)} ({percent(view.probability)})")
    most = max(stage.flops for stage in view.stages) or 1.0
    rows: list[list[Cell]] = []
    left_out = 0
    for stage in view.stages:
        if stage.layer is not None and BLOCKS <= stage.layer < view.model.layers - BLOCKS:
            left_out += stage.name == "attention"
            continue
        if left_out:
            rows.append(["…", Text(f"{left_out} more", "dim"), *[""] * 7])
            left_out = 0
        rows.append(_stage(stage, most))
    columns = [
        Column("block", right=True), Column("stage"), Column("shape", right=True), Column("numbers", spare=3),
        Column("memory", right=True, spare=2), Column("arithmetic"), Column("length", right=True),
        Column("residual", right=True, spare=1), Column(VIEWS, spare=4),
    ]  # fmt: skip
    missing = print_table(screen, columns, rows)
    screen.print_text(f"The whole pass: {scaled(view.flops, 3, FLOPS)} with {view.model.parameters:,} parameters.")
    lengths = (
        "Length: of the vectors that a stage adds, the mean over the tokens. Residual: of the stream that they are added to."
    )
    screen.print_text(lengths, style="dim")
    if VIEWS in missing:
        opened: dict[str, list[str]] = {}
        for stage in view.stages:
            for name in stage.views:
                opened.setdefault(name, []).append(stage.name)
        shown = [f"{name} ({', '.join(dict.fromkeys(stages))})" for name, stages in opened.items()]
        print_items(screen, shown, before="More:  --view ", style="dim")


def _stage(stage: "PathStage", most: float) -> list[Cell]:
    return [
        "" if stage.layer is None else str(stage.layer),
        stage.name,
        " × ".join(f"{size:,}" for size in stage.shape),
        stage.dtype,
        byte_size(stage.bytes),
        Bar(stage.flops / most, scaled(stage.flops, 3, FLOPS)) if stage.flops else "",
        "" if stage.size is None else f"{stage.size:.2f}",
        "" if stage.residual is None else f"{stage.residual:.2f}",
        Text(", ".join(stage.views), "dim"),
    ]


def draw_gradient(screen: Screen, view: "GradientView") -> None:
    """Prints the loss of every token before and after the step, the predictions, and the weights that moved most."""
    change = view.loss_after - view.loss
    moved = "falls" if change < 0 else "rises"
    if view.rate:
        heading(screen, f"One step: the loss {moved} from {view.loss:.4f} to {view.loss_after:.4f} nats per token")
        screen.print_text(
            f"All weights together move by {view.move:.2g} of their length. The gradient promises "
            f"{view.expected:+.4f}; the change is {change:+.4f}, because the loss is curved."
        )
    else:
        heading(screen, f"One step changes nothing: the loss is {view.loss:.4f} nats per token")
        screen.print_text("The gradient is 0, so no weight moves.")
    names = by_id(view.candidates)
    longest = float(view.losses.max()) or 1.0
    rows: list[list[Cell]] = []
    for p, token in enumerate(view.input.tokens[1:]):
        loss, after = float(view.losses[p]), float(view.losses_after[p])
        rows.append(
            [
                fitted(passage_token_name(token), NAME).rstrip(),
                Bar(loss / longest, f"{loss:.3f}"),
                f"{max(0.0, after):.3f}",
                fitted(token_name(names[int(view.top[p, 0])]), NAME).rstrip(),
                percent(math.exp(view.top_logprobs[p, 0])),
                percent(math.exp(view.top_logprobs_after[p, 0])),
            ]
        )
    columns = [Column("token"), Column("loss before"), Column("loss after", right=True), Column("prediction", spare=1),
               Column("before", right=True, spare=1), Column("after", right=True, spare=1)]  # fmt: skip
    print_table(screen, columns, rows)
    heading(screen, "The weights that move most")
    rows = []
    for each in view.weights[:LISTED]:
        share = Bar(each.share / (view.weights[0].share or 1.0), f"{each.share:.1%}")
        name = each.name.removesuffix(".weight")
        rows.append([name, " × ".join(f"{size:,}" for size in each.shape), share, f"{each.change / (each.size or 1.0):.3%}"])
    print_table(
        screen, [Column("weights"), Column("shape", spare=1), Column("share of the step"), Column("moved by", right=True)], rows
    )


def draw_learning(screen: Screen, view: "LearningView") -> None:
    """Prints for every tracked prompt how likely its next tokens were at some steps, and the world's own frequencies."""
    heading(screen, f"{view.run}: {int(view.steps[-1]):,} steps, {view.tokens[-1]:,.0f} tokens")
    if view.world is not None and not view.world.of_the_run:
        name = f"The true shares are those of the world in {visible(view.world.name)}"
        screen.print_text(f"{name}. The run was not trained on its text alone, so it need not end there.")
    for prompt in view.prompts:
        _print_prompt(screen, view, prompt)


def _print_prompt(screen: Screen, view: "LearningView", prompt: "TrackedPrompt") -> None:
    """A column for each of the tokens that are likely at the end: its probability from step to step."""
    heading(screen, f"After {visible(prompt.input.text)}")
    names = by_id(prompt.candidates)
    followed = _followed(prompt)
    columns = [Column("step", right=True), Column("loss", right=True, spare=2), Column("most likely", spare=1)]
    columns += [Column(fitted(token_name(token), NAME).rstrip()) for token in followed]
    rows: list[list[Cell]] = []
    for s in _some(len(view.steps)):
        loss = float(view.loss[s])
        shares = _shares(prompt, s)
        first = fitted(token_name(names[int(prompt.top[s, 0])]), NAME).rstrip()
        known = [shares.get(token.id) for token in followed]
        cells = ["not listed" if share is None else Bar(share, f"{share:.1%}") for share in known]
        rows.append([f"{int(view.steps[s]):,}", "" if math.isnan(loss) else f"{loss:.2f}", first, *cells])
    if prompt.true_tokens:
        true = {each.token.id: each.probability for each in prompt.true_tokens}
        rows.append(["world", "", "", *(Bar(share, f"{share:.1%}") for share in (true.get(t.id, 0.0) for t in followed))])
    print_table(screen, columns, rows)
    if prompt.truth:
        pieces = ", ".join(f"{visible(piece.text) or THE_END} {piece.probability:.0%}" for piece in prompt.truth[:FOLLOWED])
        screen.print_text(f"In the world: {pieces}.", style="dim")
    if prompt.truth and not prompt.true_tokens:
        screen.print_text(
            "The tokenizer joins the end of the prompt with what follows, so the world does not say which token is next.",
            style="dim",
        )


def _followed(prompt: "TrackedPrompt") -> "list[Token]":
    """The tokens with a column: those that were tracked, then the likely ones at the end."""
    names = by_id(prompt.candidates)
    likely = [
        names[int(token_id)]
        for token_id, logprob in zip(prompt.top[-1], prompt.top_logprobs[-1], strict=True)
        if math.exp(logprob) >= LEAST_FOLLOWED
    ]
    return list(by_id([*prompt.tracked, *likely]).values())[:FOLLOWED]


def _shares(prompt: "TrackedPrompt", step: int) -> dict[int, float]:
    """Returns the recorded probabilities of a step; the key is the token id."""
    listed = zip(prompt.top[step].tolist(), prompt.top_logprobs[step].tolist(), strict=True)
    tracked = zip((token.id for token in prompt.tracked), prompt.tracked_logprobs[step].tolist(), strict=True)
    return {token_id: 0.0 if math.isnan(nats) else math.exp(nats) for token_id, nats in (*listed, *tracked)}


def _some(count: int) -> list[int]:
    """At most `LOOKS` places, the first and the last among them, at equal distances."""
    if count <= LOOKS:
        return list(range(count))
    return [round(place * (count - 1) / (LOOKS - 1)) for place in range(LOOKS)]
