"""`liuli join`: asks a model how tables are joined, and joins them."""

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.cli.options import Adapter, Device, Dtype, Json, ModelName, Pattern, Threads, check_compute, check_model
from liuli.cli.output import note, print_json, say
from liuli.cli.sampling import set_threads
from liuli.cli.wording import percent
from liuli.cli.work_progress import WorkProgress, work_progress
from liuli.display import printable, visible
from liuli.errors import LiuliError
from liuli.output_paths import part_of
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.act.tables.ask import AskedPlan
    from liuli.act.tables.database import TableDatabase
    from liuli.act.tables.join import JoinReport, JoinSide
    from liuli.act.tables.table import Table
    from liuli.generate.model import Model

READ = "CSV, JSON or Parquet files, which the suffix decides"
FIRST_ROWS = 3  # of the result that are printed without --out
LEAST_SHOWN, MOST_SHOWN = 0.005, 6  # the least probability of an option that --explain shows, and how many it shows

Question = Annotated[
    str,
    typer.Argument(
        metavar="QUESTION", help="What you want to know, in your own words; it decides which rows are kept.", show_default=False
    ),
]
Tables = Annotated[
    list[Path],
    typer.Argument(
        metavar="TABLE TABLE...",
        help=f"The tables: {READ}. The first two are joined, and the result is joined with the next one.",
        show_default=False,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Write the result to this new file, whose name ends with .csv, .json, .jsonl or .parquet."
    ),
]
Explain = Annotated[
    bool,
    typer.Option("--explain", help="Show the probabilities with which the model chose the columns and the rows that are kept."),
]


def join(
    model: ModelName,
    question: Question,
    tables: Tables,
    out: Out = None,
    explain: Explain = False,
    adapter: Adapter = None,
    pattern: Pattern = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Join tables as a question requires: a model chooses the columns and which rows are kept, and the tables are joined
    without it."""
    from liuli.act.tables.database import TableDatabase
    from liuli.act.tables.open import check_table, open_tables
    from liuli.act.tables.plan import shared_columns
    from liuli.act.tables.write import check_new_table, write_table

    new = None if out is None else Path(out)
    if out is not None:
        check_new_table(out)
    check_model(model, adapter)
    if len(tables) < 2:
        raise LiuliError("there is only one table: give at least two")
    for table in tables:
        check_table(table)
    check_compute(device, dtype, threads)
    with (
        work_progress(f"reading {tables[0].name}") as work,
        TableDatabase([*tables, *([part_of(new)] if new else [])]) as database,
    ):
        opened = open_tables(database, tables, work.show)
        shared_columns(opened[0], opened[1])  # before the model is loaded
        work.show(f"loading {model}")
        from liuli.generate.model import load

        loaded = load(model, device=device, dtype=dtype, pattern=pattern, adapter=adapter)
        set_threads([loaded], threads)
        result, joins = _join_all(work, loaded, question, database, opened)
        if new is not None:
            work.show(f"writing {new.name}")
            write_table(database, result, new)
        identity: dict[str, Any] = {}
        if json:
            work.show("hashing the model")
            identity = loaded.identity()
    if json:
        print_json({"model": identity, "question": question} | _to_json(result, joins, out))
    else:
        _print(result, joins, out, explain)


def _join_all(
    work: WorkProgress, model: "Model", question: str, database: "TableDatabase", tables: "list[Table]"
) -> "tuple[Table, list[tuple[AskedPlan, JoinReport]]]":
    """Joins the first table with the second, the result with the third, and so on."""
    from liuli.act.tables.ask import ask_plan
    from liuli.act.tables.join import join_tables

    result, *others = tables
    joins: list[tuple[AskedPlan, JoinReport]] = []
    for done, other in enumerate(others):
        work.show("asking the model", done, len(others))
        asked = ask_plan(model, question, result, other)
        result, report = join_tables(database, result, other, asked.plan, work.show)
        joins.append((asked, report))
    return result, joins


def _to_json(result: "Table", joins: "list[tuple[AskedPlan, JoinReport]]", out: str | None) -> dict[str, Any]:
    columns = [{"name": column.name, "kind": column.kind} for column in result.columns]
    return {
        "joins": [asked.to_json() | {"report": report.to_json()} for asked, report in joins],
        "result": {"path": out, "rows": result.rows, "columns": columns, "first": result.records()},
    }


def _print(result: "Table", joins: "list[tuple[AskedPlan, JoinReport]]", out: str | None, explain: bool) -> None:
    """The plan of each join, what it did, and where the result is."""
    for asked, report in joins:
        say(json_format.dumps(asked.plan.to_json(), ensure_ascii=False))
        for line in (*(_explanation(asked) if explain else ()), *report_lines(report)):
            say(line)
        if asked.examples == 0:
            note("the model's context has no room for the examples in the prompt, so its plan is less reliable")
    size = f"{counted(result.rows, 'row')}, {counted(len(result.columns), 'column')}"
    if out is not None:
        say(f"{printable(out)}: {size}")
        return
    say(f"result: {size} (--out FILE writes them); the first rows:")
    for record in result.records(FIRST_ROWS):
        say(f"  {json_format.dumps(record, ensure_ascii=False)}")


def report_lines(report: "JoinReport") -> list[str]:
    """What a join did, for people."""
    left, right = report.left, report.right
    names = ", ".join(map(printable, report.plan.on))
    lines = [
        f"{printable(left.table)} ({counted(left.rows, 'row')}) and {printable(right.table)} ({counted(right.rows, 'row')}), "
        f"{report.plan.how} join on {names}: {counted(report.rows, 'row')}",
        f"  keys in both tables: {report.keys:,}",
    ]
    for side in (left, right):
        lines += _side_lines(side)
    lines += [
        f"  renamed, because both tables have it: {printable(old)} → {printable(new)}" for old, new in report.renamed.items()
    ]
    return lines


def _side_lines(side: "JoinSide") -> list[str]:
    lines = [f"  {printable(side.table)}: {side.matched:,} rows matched, {side.unmatched:,} did not"]
    if side.unmatched_keys:
        lines.append(f"    without a match: {_listed(map(_key, side.unmatched_keys), side.unmatched - side.without_key)}")
    if side.without_key:
        lines.append(f"    without a value in a key column, so they match nothing: {counted(side.without_key, 'row')}")
    if side.duplicated:
        several = (f"{_key(key)} ({counted(count, 'row')})" for key, count in side.duplicated_keys)
        lines.append(f"    keys in several rows: {side.duplicated:,}: {_listed(several, side.duplicated)}")
    return lines


def _key(values: list[Any]) -> str:
    return " / ".join(printable(str(value)) for value in values)


def _listed(some: Any, total: int) -> str:
    """Some items on one line, and that there are more."""
    items = list(some)
    return ", ".join(items) + (", …" if len(items) < total else "")


def _explanation(asked: "AskedPlan") -> list[str]:
    """With which probabilities the model chose, among what the schema allows. Of the columns, only the places where it could
    well have written something else."""
    lines = ["  how: " + ", ".join(f"{how} {percent(share)}" for how, share in asked.how.items())]
    for choice in asked.choices:
        likely = [(text, share) for text, share in choice.options if share >= LEAST_SHOWN]
        if '"on"' in choice.before and '"how"' not in choice.before and len(likely) > 1:
            shown = ", ".join(f"{visible(text)} {percent(share)}" for text, share in likely[:MOST_SHOWN])
            lines.append(f"  on, after {printable(choice.before)} came {shown}")
    return lines
