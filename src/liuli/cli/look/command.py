"""`liuli look`: shows what happened inside a model, with real numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.cli.input import read_text
from liuli.cli.look.page import ALL, check_page, report_page, write_page
from liuli.cli.options import MODEL, Adapter, Device, Dtype, Json, Pattern, Threads, check_compute, check_model
from liuli.cli.output import Screen, print_json
from liuli.cli.sampling import named_as_typed, only_given, set_threads, with_sampling_options
from liuli.cli.work_progress import WorkProgress, work_progress
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.generate.model import Model
    from liuli.inside.views import AnyView, Subject
    from liuli.world import World

NAMES = (  # as in `inside.views.VIEWS`, which imports PyTorch
    "path", "tokens", "vectors", "context", "attention", "lens", "candidates", "branches", "influence", "ablation", "patching",
    "gradient", "learning", "compare",
)  # fmt: skip
WITHOUT_TEXT = ("learning",)
OPTIONS = {  # what a view uses -> how it is given
    "texts": "--with TEXT", "models": "--with MODEL", "world": "--with FOLDER", "word": "--word TEXT",
    "layer": "--layer N, --head N", "seed": "--seed N", "sampling": "the sampling options",
}  # fmt: skip


MaybeModel = Annotated[str | None, typer.Argument(metavar="MODEL", help=f"The model: {MODEL}.", show_default=False)]
MaybeText = Annotated[
    str | None,
    typer.Argument(
        metavar="TEXT",
        help="The text that the model reads; - reads it from standard input. The view learning needs none.",
        show_default=False,
    ),
]
ViewName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Show this view: {', '.join(NAMES)}; or, with --html, all of them: {ALL}.",
        show_default="list the views; with --html, all",
    ),
]
Others = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="TEXT|MODEL|FOLDER",
        help="Compare with this: another text (context, patching, compare), another model (tokens, compare), or the folder "
        "of a world (learning). May be repeated.",
    ),
]
Word = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="In the view context: the word that all texts contain. In the views lens, influence, ablation and patching: "
        "the next word whose prediction is followed or explained.",
        show_default="the longest common text; the most likely next token",
    ),
]
Layer = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Show the attention of this layer, counted from 0.",
        show_default="the one that reads least from the first token",
    ),
]
Head = Annotated[
    int | None, typer.Option(metavar="N", help="Show this attention head, counted from 0.", show_default="their mean")
]
ViewSeed = Annotated[int, typer.Option(metavar="N", help="Set the random seed.")]
Page = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Write the view to this HTML file, which opens offline.", show_default=False),
]


@with_sampling_options
def look(
    model: MaybeModel = None,
    text: MaybeText = None,
    view: ViewName = None,
    others: Others = None,
    word: Word = None,
    layer: Layer = None,
    head: Head = None,
    seed: ViewSeed = 0,
    html: Page = None,
    adapter: Adapter = None,
    pattern: Pattern = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    threads: Threads = None,
    json: Json = False,
    **sampling: float | None,
) -> None:
    """Look inside a model: how it read a text, how it came to its prediction, and how it learned.

    Without --view, the views are listed, with the options that each of them uses. With --html, a page with drawings is written
    instead: of one view, or of all.
    """
    if view is None and html is not None:
        view = ALL
    if view is None:
        _list_views()
        return
    if view not in (*NAMES, ALL):
        raise LiuliError(f"there is no view {view!r}; views: {', '.join((*NAMES, ALL))}")
    check_page(view, html, json, head)
    if model is None:
        raise LiuliError("there is no model: give MODEL and TEXT")
    check_model(model, adapter)
    if head is not None and view != "attention":
        raise LiuliError(f"the view {view} does not use --head: leave it out, or choose the view attention")
    if text is None and view not in WITHOUT_TEXT:
        raise LiuliError(f"the view {view} needs a text: give TEXT after the model")
    check_compute(device, dtype, threads)
    given = read_text(text) if text is not None else ""
    with work_progress(f"loading {model}") as work:
        opened = _open(model, device, dtype, pattern, adapter)
        _check_head(opened, head)
        subject = _subject(opened, given, others or [], view, work, device, dtype)
        set_threads([opened, *subject.models], threads)
        made, refused = _make(view, subject, word, layer, seed, only_given(**sampling), work)
        if html is not None:
            write_page(html, made, refused, work)
    if html is not None:
        report_page(html, made, refused)
    elif json:
        print_json(made[view].to_json())
    else:
        _draw(view, made[view], [opened, *subject.models], head)


def _list_views() -> None:
    """Prints for each view what it shows and which options it has."""
    from rich.text import Text

    from liuli.inside.views import VIEWS

    screen = Screen()
    screen.print_text("Choose a view: liuli look MODEL TEXT --view NAME", style="bold")
    screen.print()
    width = max(map(len, VIEWS)) + 2
    for name, kind in VIEWS.items():
        options = ", ".join(option for used, option in OPTIONS.items() if used in kind.uses)
        screen.print_text(Text(kind.shows).append(f" {options}" if options else "", "dim"), before=name.ljust(width))
    screen.print_text("\nliuli look --help explains the options, docs/inside.md the views.", style="dim")


def _check_head(model: "Model", head: int | None) -> None:
    """Raises LiuliError if the layers have no such head."""
    from liuli.inside.attention import check_head

    if head is not None:
        check_head(model.decoder, head)


def _open(model: str, device: str, dtype: str, pattern: str | None, adapter: Path | None) -> "Model":
    from liuli.generate.model import load

    return load(model, device=device, dtype=dtype, pattern=pattern, adapter=adapter)


def _subject(
    model: "Model", text: str, others: Sequence[str], view: str, work: WorkProgress, device: str, dtype: str
) -> "Subject":
    """The subject with everything that was given with --with.

    Raises:
        LiuliError: the view does not use such things; there is no such model or world.
    """
    from liuli.generate.model import load
    from liuli.inside.views import VIEWS, Subject
    from liuli.world.folder import open_folder

    uses = frozenset().union(*(kind.uses for kind in VIEWS.values())) if view == ALL else VIEWS[view].uses
    texts: list[str] = []
    models: list[Model] = []
    world: World | None = None
    for number, each in enumerate(others):
        if "world" in uses and (view != ALL or open_folder(Path(each)) is not None):
            world = _open_world(each)
        elif "models" in uses and ("texts" not in uses or Path(each).exists()):
            check_model(each)
            work.show("loading models", number, len(others))
            models.append(load(each, device=device, dtype=dtype))
        elif "texts" in uses:
            texts.append(each)
        else:
            raise LiuliError(f"the view {view} does not use --with: leave it out, or choose another view")
    return Subject(model, text, tuple(texts), tuple(models), world=world)


def _open_world(folder: str) -> "World":
    from liuli.world.folder import open_folder

    world = open_folder(Path(folder))
    if world is None:
        raise LiuliError(f"{folder} is not the folder of a world: give one that liuli world or liuli begin has made")
    return world


def _make(
    view: str,
    subject: "Subject",
    word: str | None,
    layer: int | None,
    seed: int,
    sampling: dict[str, Any],
    work: WorkProgress,
) -> "tuple[dict[str, AnyView], dict[str, str]]":
    """The view, or all that can be made; and for each of the others why not."""
    from dataclasses import replace

    from liuli.inside.views import make_all, make_view

    subject = replace(subject, word=word, layer=layer, seed=seed, sampling=sampling)
    if view == ALL:
        return make_all(subject, work.show)
    try:
        return {view: make_view(view, subject, work.show)}, {}
    except LiuliError as error:
        raise named_as_typed(error) from None


def _draw(name: str, view: "AnyView", models: "Sequence[Model]", head: int | None) -> None:
    from liuli.cli.look.drawings import draw

    draw(Screen(), name, view, models, head)
