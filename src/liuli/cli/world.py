"""`liuli world`: writes a small world's documents and facts; `liuli world ask`: what can follow a text, with probabilities;
`liuli world dialogues`: writes dialogues about the world."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.cli.help_text import Group, examples, with_examples
from liuli.cli.input import read_text
from liuli.cli.options import Force, Json
from liuli.cli.output import Screen, note, print_json, say
from liuli.cli.work_progress import work_progress
from liuli.display import visible
from liuli.errors import LiuliError
from liuli.output_paths import check_new_file
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.world import Branch, World

ASK = "liuli world ask 小明今天去游乐园玩"
DIALOGUES = "liuli world dialogues --out dialogues.jsonl"

world = typer.Typer(
    invoke_without_command=True,
    cls=Group,
    epilog=examples("liuli world --out my-world --documents 20000", ASK, DIALOGUES),
)

DEFAULTS: dict[str, Any] = {"size": "begin", "seed": 0, "lang": "both", "json": False}
SHOWN = 20  # pieces that a person is shown; --json has all
KINDS = {  # what follows
    "end": "the end of the document",
    "wording": "a choice of words",
    "entity": "a name",
    "fact": "a fact (one true value)",
    "habit": "a habit (values with known frequencies)",
}

Size = Annotated[
    str | None,
    typer.Option(
        metavar="begin|large",
        help="Make a world of this size: begin (60 people) or large (1,000 people).",
        show_default="begin",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(metavar="N", help="Set the random seed. Each seed gives a world with its own facts.", show_default="0"),
]
Lang = Annotated[
    str | None, typer.Option(metavar="zh|en|both", help="Use Chinese, English, or both languages.", show_default="both")
]


@world.callback()
def write(
    context: typer.Context,
    size: Size = None,
    seed: Seed = None,
    lang: Lang = None,
    documents: Annotated[
        int | None,
        typer.Option(metavar="N", help="Write this many documents. 50,000 documents are about 10 MB.", show_default="50000"),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Write the world to this new or empty folder. Required, except with a subcommand.",
            show_default=False,
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Generate a small synthetic corpus (a "world") in Chinese and English from a grammar.

    The exact probability of every text in it is known.
    """
    given = {"size": size, "seed": seed, "lang": lang, "json": json or None}
    if context.invoked_subcommand:
        if out is not None or documents is not None or force:
            name = context.invoked_subcommand
            raise LiuliError(f"--out, --documents and --force belong to `liuli world` itself: remove them before {name}")
        context.obj = given
        return
    if out is None:
        raise LiuliError("liuli world needs --out FOLDER, to which it writes documents.jsonl, facts.json and README.md")
    settings = DEFAULTS | {name: value for name, value in given.items() if value is not None}
    with _untouched_if_stopped(out):
        _write(settings, out, 50_000 if documents is None else documents, force)


@world.command(**with_examples(ASK, 'liuli world ask --lang en "Ming went to the fair today and rode"'))
def ask(
    context: typer.Context,
    prefix: Annotated[
        str,
        typer.Argument(
            metavar="PREFIX",
            help="The beginning of a document, in Chinese or English; - reads it from standard input.",
            show_default=False,
        ),
    ],
    size: Size = None,
    seed: Seed = None,
    lang: Lang = None,
    json: Json = False,
) -> None:
    """Print what can follow a text in this world, with the exact probabilities."""
    settings = _settings(context, {"size": size, "seed": seed, "lang": lang, "json": json or None})
    text = read_text(prefix)
    if prefix == "-":
        text = text.removesuffix("\n").removesuffix("\r")
    with work_progress("computing the probabilities"):
        branch = _make(settings).branch(text)
    if settings["json"]:
        print_json({"prefix": text} | branch.to_json())
    else:
        _print(text, branch)


@world.command(**with_examples(DIALOGUES))
def dialogues(
    context: typer.Context,
    out: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Write the dialogues to this new file, whose name ends in .jsonl.", show_default=False
        ),
    ],
    count: Annotated[int, typer.Option(metavar="N", help="Write this many dialogues.")] = 48_000,
    size: Size = None,
    seed: Seed = None,
    lang: Lang = None,
    json: Json = False,
) -> None:
    """Write dialogues about the world, to train an assistant on."""
    check_new_file(out, ".jsonl")
    settings = _settings(context, {"size": size, "seed": seed, "lang": lang, "json": json or None})

    from liuli.world.dialogues import write_dialogues

    with _untouched_if_stopped(out), work_progress("making the world") as work:
        write_dialogues(_make(settings), Path(out), count, lambda found: work.counting(found, "writing dialogues", count))
    if settings["json"]:
        print_json({"file": out, "dialogues": count})
    else:
        next_command = f"liuli finetune MODEL {shlex.quote(out)} --out RUN"
        say(f"{counted(count, 'dialogue')} written to {out}; train an assistant with: {next_command}")


@contextmanager
def _untouched_if_stopped(out: str) -> Iterator[None]:
    """Ctrl-C within it ends the command, and leaves everything as it was."""
    there = os.path.exists(out)  # false if the name is too long, too
    try:
        yield
    except KeyboardInterrupt:
        note(f"stopped; {out} was not {'changed' if there else 'written'}")
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
            raise LiuliError(
                f"--{name} is given twice: {value} before {context.info_name} and {found[name]} after it; give it once"
            )
    return found


def _make(settings: dict[str, Any]) -> "World":
    from liuli.world import World

    return World(settings["size"], settings["seed"], settings["lang"])


def _write(settings: dict[str, Any], out: str, documents: int, force: bool) -> None:
    from liuli.world.folder import check_world_folder, write_folder

    check_world_folder(out, force)
    with work_progress("making the world") as work:
        made = _make(settings)
        counting = lambda texts: work.counting(texts, "writing documents", documents)
        written = write_folder(made, out, documents, counting, force)
        work.show("computing the entropy of the world")
        floor = made.floor
    if settings["json"]:
        body = {"folder": out, "size": made.size, "seed": made.seed, "lang": made.lang, "documents": documents}
        print_json(body | {"bytes": written.bytes, "replaced": written.replaced, "floor": floor.to_json()})
        return
    say(f"{counted(documents, 'document')}, {counted(written.bytes, 'byte')} of text, written to {out}")
    say(f"{Path(out) / 'README.md'} describes the people, places and facts of this world")
    if written.replaced is not None:
        say(f"the previous world there, with {counted(written.replaced, 'document')}, was replaced")
    per_document = f"{sum(floor.nats.values()):.2f} nats per document on average"
    say(f"entropy (lowest possible loss): {floor.bits_per_byte:.4f} bits per byte, {per_document}")


def _print(prefix: str, branch: "Branch") -> None:
    from liuli.world import END

    console = Screen()
    ranked = sorted(branch.pieces.items(), key=lambda item: -item[1])
    asked = visible(prefix, prefix.encode()) if prefix else "(the beginning)"
    console.print_text(f"{asked} → {KINDS[branch.kind]}")
    for piece, share in ranked[:SHOWN]:
        shown = "(end)" if piece == END else visible(piece, piece.encode())
        console.print_text(shown, before=f"{_percent(share):>9}  ")
    if len(ranked) > SHOWN:
        rest = sum(share for _, share in ranked[SHOWN:])
        console.print_text(
            f"{counted(len(ranked) - SHOWN, 'other continuation')} (--json lists all)", before=f"{_percent(rest):>9}  "
        )


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= 0.0001 else f"{share:.1e}"
