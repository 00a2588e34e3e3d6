"""`liuli world`: writes a small world's documents and facts; `liuli world ask`: what may follow a text, with probabilities;
`liuli world dialogues`: writes conversations about it."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from liuli.cli.input import read_text
from liuli.cli.options import Json
from liuli.cli.output import Screen, note, print_json, say
from liuli.display import visible
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.world import Branch, World

Item = TypeVar("Item")
world = typer.Typer(invoke_without_command=True)

DEFAULTS: dict[str, Any] = {"size": "begin", "seed": 0, "lang": "both", "json": False}
SHOWN = 20  # pieces that a person is shown; --json has all
KINDS = {"end": "the end of the document", "wording": "a wording", "entity": "a name", "fact": "a fact", "habit": "a habit"}

Size = Annotated[str | None, typer.Option(help="How much there is: begin (60 people) or large (1,000).", show_default="begin")]
Seed = Annotated[int | None, typer.Option(help="Which world: each seed has its own facts.", show_default="0")]
Lang = Annotated[str | None, typer.Option(help="The documents' languages: zh, en or both.", show_default="both")]


@world.callback()
def write(
    context: typer.Context,
    size: Size = None,
    seed: Seed = None,
    lang: Lang = None,
    documents: Annotated[
        int | None, typer.Option(help="How many to write; 50,000 are about 10 MB.", show_default="50000")
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="FOLDER", help="Where to write.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Make a small world: text in Chinese and English whose exact probabilities are known."""
    given = {"size": size, "seed": seed, "lang": lang, "json": json or None}
    if context.invoked_subcommand:
        if out is not None or documents is not None:
            name = context.invoked_subcommand
            raise LiuliError(f"--out and --documents are of liuli world alone: leave them out before {name}")
        context.obj = given
        return
    if not out:
        raise LiuliError("liuli world needs --out FOLDER, where it writes documents.jsonl, facts.json and README.md")
    settings = DEFAULTS | {name: value for name, value in given.items() if value is not None}
    with _untouched_if_stopped(out):
        _write(settings, out, 50_000 if documents is None else documents)


@world.command()
def ask(
    context: typer.Context,
    prefix: Annotated[
        str,
        typer.Argument(help="How a document begins, such as 小明今天去游乐园玩; - reads standard input.", show_default=False),
    ],
    size: Size = None,
    seed: Seed = None,
    lang: Lang = None,
    json: Json = False,
) -> None:
    """Print the true next pieces after a text, with their probabilities."""
    settings = _settings(context, {"size": size, "seed": seed, "lang": lang, "json": json or None})
    text = read_text(prefix)
    if prefix == "-":
        text = text.removesuffix("\n").removesuffix("\r")
    branch = _make(settings).branch(text)
    if settings["json"]:
        print_json({"prefix": text} | branch.to_json())
    else:
        _print(text, branch)


@world.command()
def dialogues(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write, a JSON Lines file.", show_default=False)],
    count: Annotated[int, typer.Option(help="How many to write.")] = 48_000,
    size: Size = None,
    seed: Seed = None,
    lang: Lang = None,
    json: Json = False,
) -> None:
    """Write conversations about the world, from which a model learns to answer."""
    from liuli.world.dialogues import write_dialogues

    settings = _settings(context, {"size": size, "seed": seed, "lang": lang, "json": json or None})
    if out.is_dir():
        raise LiuliError(f"{out} is a folder: give --out a file, such as {out / 'dialogues.jsonl'}")
    with _untouched_if_stopped(str(out)):
        write_dialogues(_make(settings), out, count, lambda found: _progress(found, "conversations", count))
    if settings["json"]:
        print_json({"file": str(out), "dialogues": count})
    else:
        say(f"{count:,} conversations in {out}; liuli finetune MODEL {out} --out RUN learns to answer from them")


@contextmanager
def _untouched_if_stopped(out: str) -> Iterator[None]:
    """Ctrl-C within ends the command; what was there is still there."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"stopped; {out} is as it was")
        sys.exit(130)


def _settings(context: typer.Context, after: dict[str, Any]) -> dict[str, Any]:
    """The options given before a subcommand and after it, which mean the same, and the defaults of those given in neither
    place."""
    before: dict[str, Any] = context.obj
    found = DEFAULTS.copy()
    for given in (before, after):
        found |= {name: value for name, value in given.items() if value is not None}
    for name, value in before.items():
        if value is not None and found[name] != value:
            raise LiuliError(f"--{name} is given twice: {value} before {context.info_name} and {found[name]} after it")
    return found


def _make(settings: dict[str, Any]) -> "World":
    from liuli.world import World

    return World(settings["size"], settings["seed"], settings["lang"])


def _write(settings: dict[str, Any], out: str, documents: int) -> None:
    from liuli.world.folder import write_folder

    made = _make(settings)
    if sys.stderr.isatty() and made.size == "large":
        note("the exact floor of a large world takes half a minute")
    written = write_folder(made, out, documents, lambda texts: _progress(texts, "documents", documents))
    floor = made.floor
    if settings["json"]:
        body = {"folder": out, "size": made.size, "seed": made.seed, "lang": made.lang, "documents": documents}
        print_json(body | {"bytes": written.bytes, "replaced": written.replaced, "floor": floor.to_json()})
        return
    say(f"{documents:,} documents, {written.bytes:,} bytes of text, in {out}: its README.md lets you read the place")
    if written.replaced is not None:
        say(f"replaced the world that was there, of {written.replaced:,} documents")
    say(f"floor: {floor.bits_per_byte:.4f} bits/byte, {sum(floor.nats.values()):.2f} nats a document (expected)")


def _progress(items: Iterable[Item], what: str, count: int) -> Iterable[Item]:
    """The same items; if standard error is a terminal, with a bar on it while they pass."""
    if not sys.stderr.isatty():
        return items
    from rich.progress import track

    return track(items, what, total=count, console=Screen(stderr=True), transient=True)


def _print(prefix: str, branch: "Branch") -> None:
    from rich.text import Text

    from liuli.world import END

    console = Screen()
    ranked = sorted(branch.pieces.items(), key=lambda item: -item[1])
    asked = visible(prefix, prefix.encode()) if prefix else "(the beginning)"
    console.print(Text(f"{asked} → {KINDS[branch.kind]}"), soft_wrap=True)
    for piece, share in ranked[:SHOWN]:
        shown = "(end)" if piece == END else visible(piece, piece.encode())
        console.print(Text(f"{_percent(share):>9}  {shown}"), soft_wrap=True)
    if len(ranked) > SHOWN:
        rest = sum(share for _, share in ranked[SHOWN:])
        console.print(f"{_percent(rest):>9}  in {len(ranked) - SHOWN:,} more (--json lists all)")


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= 0.0001 else f"{share:.1e}"
