"""Which function draws which view on a terminal."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from liuli.cli.comparison import print_comparison
from liuli.cli.look.attention import draw_attention
from liuli.cli.look.cause import draw_ablation, draw_influence, draw_patching
from liuli.cli.look.choice import draw_branches, draw_candidates
from liuli.cli.look.context import draw_context
from liuli.cli.look.course import draw_gradient, draw_learning, draw_path
from liuli.cli.look.drawing import print_checks, print_introduction
from liuli.cli.look.lens import draw_lens
from liuli.cli.look.tokens import draw_tokens
from liuli.cli.look.vectors import draw_vectors
from liuli.cli.output import Screen
from liuli.inside.attention import AttentionView
from liuli.inside.compare import CompareTrace
from liuli.inside.view_list import VIEWS

if TYPE_CHECKING:
    from liuli.generate.model import Model
    from liuli.inside.views import AnyView

DRAWINGS: dict[str, Callable[[Screen, Any], None]] = {
    "path": draw_path,
    "tokens": draw_tokens,
    "vectors": draw_vectors,
    "context": draw_context,
    "lens": draw_lens,
    "candidates": draw_candidates,
    "branches": draw_branches,
    "influence": draw_influence,
    "ablation": draw_ablation,
    "patching": draw_patching,
    "gradient": draw_gradient,
    "learning": draw_learning,
}


def draw(screen: Screen, name: str, view: "AnyView", models: "Sequence[Model]", head: int | None = None) -> None:
    """Prints a view: what it shows, its drawing, its caveats and its checks.

    Args:
        models: that it was made of.
        head: of the view attention: the head whose weights are shown.
    """
    if isinstance(view, CompareTrace):
        screen.print_text(VIEWS[name].shows, style="bold")
        print_comparison(screen, view, models)
        return
    print_introduction(screen, view, VIEWS[name].shows)
    if isinstance(view, AttentionView):
        draw_attention(screen, view, head)
    else:
        DRAWINGS[name](screen, view)
    print_checks(screen, view)
