"""`liuli look`: shows what happened inside a model, with real numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
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
from liuli.inside.view_list import OPTIONS, VIEWS, unused

if TYPE_CHECKING:
    from liuli.generate.model import Model
    from liuli.inside.views import AnyView, Subject

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
        help=f"Show this view: {', '.join(VIEWS)}; or, with --html, all of them: {ALL}.",
        show_default="list the views; with --html, all",
    ),
]
OtherTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--with-text",
        metavar="TEXT",
        help="Compare with this text, in the views context, patching and compare. May be repeated.",
    ),
]
OtherModels = Annotated[
    list[str] | None,
    typer.Option(
        "--with-model",
        metavar="MODEL",
        help=f"Compare with this model, in the views tokens and compare: {MODEL}. May be repeated.",
    ),
]
WorldFolder = Annotated[
    Path | None,
    typer.Option(
        "--world",
        metavar="FOLDER",
        help="Show how often the world in this folder continues like this, in the view learning.",
        show_default="the folder world next to the run",
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


@dataclass(frozen=True, slots=True)
class GivenOptions:
    """What a view is made of in addition to MODEL and TEXT, as it was typed: see `inside.views.Subject`."""

    texts: tuple[str, ...]
    models: tuple[str, ...]
    world: Path | None
    word: str | None
    layer: int | None
    seed: int
    sampling: dict[str, Any]

    def check(self, view: str) -> None:
        """Checks what can be checked before a model is loaded. `make_view` checks the rest.

        Raises:
            LiuliError: the view does not use something that was given; there is no such model.
        """
        for setting in ("texts", "models", "world", "word", "layer"):
            if view != ALL and getattr(self, setting) not in (None, ()) and setting not in VIEWS[view].uses:
                raise LiuliError(unused(setting, view))
        for model in self.models:
            check_model(model)

    def subject(self, model: "Model", text: str, models: "Sequence[Model]") -> "Subject":
        """Raises LiuliError: the folder is not that of a world."""
        from liuli.inside.views import Subject
        from liuli.world.folder import open_folder

        world = None if self.world is None else open_folder(self.world)
        if self.world is not None and world is None:
            raise LiuliError(f"{self.world} is not the folder of a world: give one that liuli world or liuli begin has made")
        return Subject(model, text, self.texts, tuple(models), self.word, self.layer, self.seed, self.sampling, world)


@with_sampling_options
def look(
    context: typer.Context,
    model: MaybeModel = None,
    text: MaybeText = None,
    view: ViewName = None,
    with_text: OtherTexts = None,
    with_model: OtherModels = None,
    world: WorldFolder = None,
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
        _check_no_options(context)
        _list_views()
        return
    if view not in (*VIEWS, ALL):
        raise LiuliError(f"there is no view {view!r}; views: {', '.join((*VIEWS, ALL))}")
    check_page(view, html, json, head)
    if model is None:
        raise LiuliError("there is no model: give MODEL and TEXT")
    check_model(model, adapter)
    options = GivenOptions(tuple(with_text or ()), tuple(with_model or ()), world, word, layer, seed, only_given(**sampling))
    options.check(view)
    _check_use_of_head(view, head, json)
    _check_text(view, text)
    check_compute(device, dtype, threads)
    read = read_text(text) if text is not None else ""
    with work_progress(f"loading {model}") as work:
        opened = [_open(model, device, dtype, pattern, adapter)]
        _check_head(opened[0], head)
        opened += [_open(each, device, dtype) for each in work.counting(options.models, "loading models", len(options.models))]
        set_threads(opened, threads)
        made, refused = _make(view, options.subject(opened[0], read, opened[1:]), work)
        if html is not None:
            write_page(html, made, refused, work)
    if html is not None:
        report_page(html, made, refused, word)
    elif json:
        print_json(made[view].to_json())
    else:
        _draw(view, made[view], opened, head)


def _check_no_options(context: typer.Context) -> None:
    """Raises LiuliError if an option was given although no view was chosen, which would ignore it."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.param_type_name == "option" and source is not None and source.name == "COMMANDLINE":
            raise LiuliError(f"{parameter.opts[0]} needs a view: choose one with --view NAME; liuli look lists them")


def _check_text(view: str, text: str | None) -> None:
    """Raises LiuliError if a text is missing, or was given for a view that reads none."""
    reads_text = view == ALL or VIEWS[view].reads_text
    if reads_text and text is None:
        raise LiuliError(f"the view {view} needs a text: give TEXT after the model")
    if not reads_text and text is not None:
        raise LiuliError(f"the view {view} reads no text, only what was recorded: leave TEXT out")


def _check_use_of_head(view: str, head: int | None, json: bool) -> None:
    """Raises LiuliError if a head was chosen for a view, or a form of output, that does not show one head alone."""
    if head is not None and view != "attention":
        raise LiuliError(f"the view {view} does not use --head: leave it out, or choose the view attention")
    if head is not None and json:
        raise LiuliError("--json does not use --head, because the JSON has every head: leave it out")


def _list_views() -> None:
    """Prints for each view what it shows and which options it has."""
    from rich.text import Text

    screen = Screen()
    screen.print_text("Choose a view: liuli look MODEL TEXT --view NAME", style="bold")
    screen.print()
    width = max(map(len, VIEWS)) + 2
    for name, kind in VIEWS.items():
        options = [option for used, option in OPTIONS.items() if used in kind.uses]
        options += ["--head"] if name == "attention" else []
        shown = Text(kind.shows).append(f" {', '.join(options)}" if options else "", "dim")
        screen.print_text(shown, before=name.ljust(width))
    screen.print_text("\nliuli look --help explains the options, docs/inside.md the views.", style="dim")


def _check_head(model: "Model", head: int | None) -> None:
    """Raises LiuliError if the layers have no such head."""
    from liuli.inside.attention import check_head

    if head is not None:
        check_head(model.decoder, head)


def _open(model: str, device: str, dtype: str, pattern: str | None = None, adapter: Path | None = None) -> "Model":
    from liuli.generate.model import load

    return load(model, device=device, dtype=dtype, pattern=pattern, adapter=adapter)


def _make(view: str, subject: "Subject", work: WorkProgress) -> "tuple[dict[str, AnyView], dict[str, str]]":
    """The view, or all that can be made; and for each of the others why not."""
    from liuli.inside.views import make_all, make_view

    try:
        if view == ALL:
            made, refused = make_all(subject, work.show)
            _check_some_text(made, refused)
            return made, refused
        return {view: make_view(view, subject, work.show)}, {}
    except LiuliError as error:
        raise named_as_typed(error) from None


def _check_some_text(made: "dict[str, AnyView]", refused: dict[str, str]) -> None:
    """Raises LiuliError, with the most frequent reason, if no view could be made of the text: a page would show nothing."""
    reasons = [reason for name, reason in refused.items() if VIEWS[name].reads_text]
    if reasons and not any(VIEWS[name].reads_text for name in made):
        raise LiuliError(max(reasons, key=reasons.count))


def _draw(name: str, view: "AnyView", models: "Sequence[Model]", head: int | None) -> None:
    from liuli.cli.look.drawings import draw

    draw(Screen(), name, view, models, head)
