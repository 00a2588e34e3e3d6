"""`liuli look --html`: a page with one view or with all of them, and what is printed about it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from liuli.cli.output import Screen
from liuli.cli.work_progress import WorkProgress
from liuli.display import printable, visible
from liuli.errors import LiuliError
from liuli.inside.drawing_code import check_built
from liuli.output_paths import check_new_file
from liuli.units import byte_size

if TYPE_CHECKING:
    from liuli.inside.views import AnyView

ALL = "all"  # the name that stands for every view


def check_page(view: str, path: str | None, json: bool, head: int | None) -> None:
    """Raises LiuliError: the page cannot be written; options exclude each other; all views are asked for without a page."""
    if path is None:
        if view == ALL:
            raise LiuliError("--view all writes one page with all views: give its name with --html FILE")
        return
    if json:
        raise LiuliError("--html and --json exclude each other: leave one out")
    if head is not None:
        raise LiuliError("--html does not use --head, because the page shows every head: leave it out")
    check_new_file(path, ".html")
    check_built()


def write_page(path: str, made: "Mapping[str, AnyView]", refused: Mapping[str, str], work: WorkProgress) -> None:
    """Writes the page. Raises LiuliError: it cannot be written."""
    from liuli.inside.html import write_html

    work.show(f"writing {path}")
    write_html(path, made, refused)


def report_page(path: str, made: "Mapping[str, AnyView]", refused: Mapping[str, str], word: str | None) -> None:
    """Prints which views the page has, which of them use the word, why it has no others, and which checks do not hold."""
    from liuli.inside.views import views_with_word

    screen = Screen()
    size = byte_size(Path(path).stat().st_size)
    screen.print_text(f"Wrote {printable(path)} ({size}) with {', '.join(made)}. It opens in a browser, without a network.")
    if word is not None:
        users = ", ".join(views_with_word(made, word)) or "no view"
        screen.print_text(f"The word “{visible(word)}” is used by: {users}.", style="dim")
    by_reason: dict[str, list[str]] = {}
    for name, reason in refused.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        screen.print_text(f"Without {', '.join(names)}: {reason}.", style="dim")
    for name, view in made.items():
        failed = ", ".join(check.name for check in view.checks if not check.ok)
        if failed:
            screen.print_text(
                f"The view {name} has checks that do not hold, so its numbers may be wrong: {failed}.", style="red"
            )
