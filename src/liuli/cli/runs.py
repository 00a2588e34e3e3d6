"""`liuli runs`: the runs in a folder; or one run, with its curves and how its predictions changed."""

import os
import shlex
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from liuli.cli.options import Json
from liuli.cli.output import Screen, note, print_json
from liuli.cli.wording import duration, percent, token_name
from liuli.cli.work_progress import work_progress
from liuli.display import printable, visible, why
from liuli.errors import LiuliError
from liuli.units import byte_size, counted, scaled

if TYPE_CHECKING:
    from liuli.learn.run.summary import Curves, Summary, ValidationLoss, WatchedPrompt

HEIGHT = 16  # lines of a picture
POINTS = 60  # of the smoothed curve, about
LOOKS = (0, 1 / 64, 1 / 16, 1 / 4, 1)  # shown of a prompt's: shares of the steps, as most is learnt early
CANDIDATES, LONGEST_NAME, SHARE = 3, 24, 7  # of a prompt, and columns of a name, at most; columns of a share
# After the name of a run; the losses are on held-out data.
COLUMNS = ("size", "state", "step", "bits/byte\nlast", "\nbest", "tokens\nseen", "written")
FILES = 3  # of the data, by name
UNBOUNDED = 10_000  # columns: a table is measured as wide as it would be


def runs(
    path: Annotated[
        Path,
        typer.Argument(metavar="RUN|FOLDER", help="A run's folder, or a folder of runs.", show_default="the current folder"),
    ] = Path("."),
    json: Json = False,
) -> None:
    """List training runs, or show one run: its settings, its loss curves, and how its predictions changed during training."""
    from liuli.learn.run.folder import find_runs, is_run

    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise LiuliError(f"{path} {what}: give a run's folder, or a folder of runs")
    if is_run(path):
        _show_one(path, json)
        return
    found = find_runs(path)
    if not found:
        raise LiuliError(f"there is no run in {path} or in its subfolders: start one with liuli train SOURCE --out RUN")
    _show_all(path, found, json)


def _show_all(folder: Path, found: list[Path], json: bool) -> None:
    """One row per run. A broken run is a row too, and its problem is printed to standard error."""
    with work_progress("reading the runs") as work:
        from liuli.learn.run.summary import Summary, summarise

        rows: list[Summary | dict[str, Any]] = []
        for path in work.counting(found, "reading the runs", len(found)):
            try:
                rows.append(summarise(path)[0])
            except (LiuliError, OSError) as error:
                said = str(error) if isinstance(error, LiuliError) else f"{path} cannot be read: {why(error)}"
                rows.append({"path": str(path), "state": "broken", "problem": said})
                note(said)
    if json:
        print_json({"runs": [row.to_json() if isinstance(row, Summary) else row for row in rows]})
        return
    names = [printable(os.path.relpath(path, folder)) for path in found]
    cells = [("", row["state"], *[""] * (len(COLUMNS) - 2)) if isinstance(row, dict) else _cells(row) for row in rows]
    screen, table = Screen(), _table(names, cells)
    if screen.measure(table, options=screen.options.update_width(UNBOUNDED)).maximum <= screen.width:
        screen.print(table)
    else:
        _print_below_each_other(screen, names, cells)


def _table(names: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("run", no_wrap=True)
    for heading in COLUMNS:
        table.add_column(heading, justify="left" if heading in ("size", "state") else "right", no_wrap=True)
    for name, row in zip(names, cells, strict=True):
        table.add_row(Text(name), *map(Text, row))
    return table


def _print_below_each_other(screen: Screen, names: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """The same facts if the table does not fit: each run's name, and the facts below it."""
    for name, (size, state, step, last, best, tokens, written) in zip(names, cells, strict=True):
        facts = (
            (size, size),
            (state, state),
            (step, f"step {step}"),
            (last, f"bits/byte {last} last, {best} best"),
            (tokens, f"{tokens} tokens seen"),
            (written, f"written {written}"),
        )
        screen.print_text(name, style="bold")
        screen.print_text("; ".join(said for value, said in facts if value), before="  ")


def _cells(run: "Summary") -> tuple[str, ...]:
    parameters = scaled(run.parameters, 3, ("T", "B", "M", "k", "")) if run.parameters else ""
    size = " ".join(word for word in (run.size, parameters) if word)
    steps = f"{run.step:,}/{run.steps:,}" if run.steps is not None else f"{run.step:,}"
    tokens = scaled(run.tokens, 3, ("T", "B", "M", "k", ""))
    losses = (f"{loss.bits_per_byte:.3f}" if loss else "" for loss in (run.last, run.best))
    return size, run.state, steps, *losses, tokens, _ago(run.written, time.time())


def _ago(then: float, now: float) -> str:
    """Both in seconds since 1970. The day, where it is more than two days ago."""
    seconds = now - then
    if seconds < 60:
        return "now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    return f"{seconds // 3600:.0f} h ago" if seconds < 48 * 3600 else f"{datetime.fromtimestamp(then):%Y-%m-%d}"


def _show_one(path: Path, json: bool) -> None:
    with work_progress("reading the run"):
        from liuli.learn.run.summary import read_trace, summarise

        run, curves = summarise(path)
    if json:
        print_json(run.to_json() | {"training": curves.to_json()["training"], "validation": curves.to_json()["validation"]})
        return
    probes = read_trace(path)  # before anything is printed, as it may be broken
    screen = Screen()
    _print_facts(screen, run)
    screen.print()
    for line in _chart(run, curves, screen.width):
        screen.print_text(line)
    for probe in probes:
        _print_probe(screen, probe)


def _print_facts(screen: Screen, run: "Summary") -> None:
    from liuli.cli.progress import resuming

    of = f" of {run.steps:,}" if run.steps is not None else ""
    seen = f"{counted(run.tokens, 'token')} seen in {duration(run.seconds)} of training"
    screen.print_text(f"{printable(run.path)}: {run.state} at step {run.step:,}{of}; {seen}")
    screen.print_command(f"  {printable(shlex.join(run.command))}")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for heading, said in _facts(run).items():
        if said:
            table.add_row(f"  {heading}", Text(printable(said)))
    screen.print(table)
    if run.state in ("stopped", "no checkpoint"):
        screen.print_command(f"  Resume with: {resuming(Path(run.path), run.stage)}")


def _facts(run: "Summary") -> dict[str, str]:
    """Heading -> text; "" if it is not known yet."""
    parameters = f"{run.parameters:,} parameters" if run.parameters else ""
    parent = f"started from the model with hash {run.parent[:12]}" if run.parent else ""
    tokenizer = f"{run.tokenizer['kind']}, {run.tokenizer['vocab_size']:,} tokens" if run.tokenizer else ""
    return {
        "data": _data(run.data),
        "held out": run.held_out or "",
        "tokenizer": tokenizer,
        "model": ", ".join(word for word in (run.stage, run.size, parameters, parent) if word),
        "recipe": _settings({key: value for key, value in run.recipe.items() if key not in ("rows_at_once", "buffer")}),
        "machine": _settings(run.machine),
        "not reproducible": ", ".join(f"from step {step:,}" for step in run.inexact),
        "saved": _saved(run),
        "validation": _validation(run.last, run.best),
    }


def _data(files: Sequence[dict[str, Any]]) -> str:
    if not files:
        return ""
    size = byte_size(sum(file["bytes"] for file in files))
    more = f", and {len(files) - FILES:,} more" if len(files) > FILES else ""
    return ", ".join(file["name"] for file in files[:FILES]) + f"{more}: {size}"


def _settings(values: dict[str, Any]) -> str:
    """By the names of their options."""
    from liuli.learn.prepare.job import option_name

    return ", ".join(
        f"{option_name(key)} {f'{value:g}' if isinstance(value, float) else value}" for key, value in values.items()
    )


def _saved(run: "Summary") -> str:
    if not run.checkpoints:
        return "nothing yet"
    steps = f"{'steps' if len(run.checkpoints) > 1 else 'step'} {', '.join(f'{step:,}' for step in run.checkpoints)}"
    after = run.step - run.checkpoints[-1]
    return f"{steps}; the last {counted(after, 'step')} {'is' if after == 1 else 'are'} not saved" if after > 0 else steps


def _validation(last: "ValidationLoss | None", best: "ValidationLoss | None") -> str:
    if last is None or best is None:
        return ""
    shown = [f"{loss.nats_per_token:.4f} nats/token, {loss.bits_per_byte:.4f} bits/byte" for loss in (last, best)]
    if last is best:
        return f"{shown[0]}: the last (step {last.step:,}) is the best"
    return f"last {shown[0]} (step {last.step:,}); best {shown[1]} (step {best.step:,})"


def _chart(run: "Summary", curves: "Curves", width: int) -> list[str]:
    from liuli.cli.chart import Curve, draw, smooth
    from liuli.cli.progress import MIXED

    means, count = smooth(curves.training, POINTS)
    training = f"training, smoothed: means of {count:,} steps" if count > 1 else "training, not smoothed"
    validation = [(loss.step, loss.nats_per_token) for loss in curves.validation]
    drawn = draw([Curve(training, means), Curve("validation", validation, "●")], width, HEIGHT)
    if not drawn:
        return ["no loss has been logged yet"]
    return ["loss in nats per token, by step", *([MIXED] if run.mixed else []), *drawn]


def _print_probe(screen: Screen, probe: "WatchedPrompt") -> None:
    """The most likely next tokens, at a few steps."""
    if not probe.looks:
        return
    last = probe.looks[-1].step
    looks = {min(probe.looks, key=lambda look: abs(look.step - share * last)).step for share in LOOKS}
    screen.print()
    screen.print_text(f"after {visible(probe.text)}")
    rows = [
        (f"  step {look.step:,}", [(token_name(token), percent(share)) for token, share in look.top[:CANDIDATES]])
        for look in probe.looks
        if look.step in looks
    ]
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(justify="right", no_wrap=True, style="dim")
    widths = _widths_of_names([names for _, names in rows], screen.width - len(f"  step {last:,} "))
    for width in widths:
        table.add_column(overflow="fold", max_width=width)
        table.add_column(justify="right", no_wrap=True, min_width=SHARE)
    for step, candidates in rows:
        cells = [cell for candidate in candidates[: len(widths)] for cell in candidate]
        table.add_row(step, *map(Text, cells))
    screen.print(table)


def _widths_of_names(rows: Sequence[Sequence[tuple[str, str]]], room: int) -> list[int]:
    """The columns of the names of the first candidates, one at least: rather fewer candidates than a name that is folded.

    Args:
        rows: the name and the share of each candidate. room: columns, of which each candidate also needs some for its share.
    """
    found: list[int] = []
    for i in range(min(map(len, rows))):
        width = min(LONGEST_NAME, max(cell_len(row[i][0]) for row in rows))
        if found and sum(found) + width + (len(found) + 1) * (SHARE + 2) > room:  # with a space behind each cell
            break
        found.append(width)
    return found
