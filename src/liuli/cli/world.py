"""`liuli world`: writes a small world's documents and facts; `liuli world ask`: what may follow a text, with probabilities."""

from typing import Annotated

import typer

from liuli.cli.shared import Json, print_json, visible
from liuli.errors import LiuliError

world = typer.Typer(invoke_without_command=True)

Size = Annotated[str, typer.Option(help="How much there is: begin (60 people) or large (1,000).")]
Seed = Annotated[int, typer.Option(help="Which world: each seed has its own facts.")]
Lang = Annotated[str, typer.Option(help="The documents' languages: zh, en or both.")]


@world.callback()
def write(
    context: typer.Context,
    size: Size = "begin",
    seed: Seed = 0,
    lang: Lang = "both",
    documents: Annotated[int, typer.Option(help="How many to write; 50,000 are about 10 MB.")] = 50_000,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Where to write.", show_default=False)] = "",
    json: Json = False,
) -> None:
    """Make a small world: text in Chinese and English whose exact probabilities are known."""
    if context.invoked_subcommand:
        return
    from liuli.data.world import World
    from liuli.data.world.folder import write_folder

    if not out:
        raise LiuliError("liuli world needs --out FOLDER, where it writes documents.jsonl, facts.json and README.md")
    made = World(size, seed, lang)  # pyright: ignore[reportArgumentType] it checks them
    written = write_folder(made, out, documents)
    if json:
        body = {"folder": out, "size": size, "seed": seed, "lang": lang, "documents": documents, "bytes": written}
        print_json(body | {"floor": made.floor.to_json()})
        return
    print(f"{documents:,} documents, {written:,} bytes of text, in {out}: its README.md lets you read the place")
    print(f"floor: {made.floor.bits_per_byte:.4f} bits/byte, {sum(made.floor.nats.values()):.2f} nats a document (expected)")


@world.command()
def ask(
    prefix: Annotated[str, typer.Argument(help="How a document begins, such as 小明今天去游乐园玩.", show_default=False)],
    size: Size = "begin",
    seed: Seed = 0,
    lang: Lang = "both",
    json: Json = False,
) -> None:
    """Print the true next pieces after a text, with their probabilities."""
    from liuli.data.world import END, World

    branch = World(size, seed, lang).branch(prefix)  # pyright: ignore[reportArgumentType] it checks them
    if json:
        print_json({"prefix": prefix} | branch.to_json())
        return

    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    ranked = sorted(branch.pieces.items(), key=lambda item: -item[1])
    kind = {"end": "the end of the document", "wording": "a wording", "entity": "a name", "fact": "a fact", "habit": "a habit"}
    console.print(Text(f"{visible(prefix, prefix.encode())} → {kind[branch.kind]}"), soft_wrap=True)
    for piece, share in ranked[:20]:
        shown = "(end)" if piece == END else visible(piece, piece.encode())
        console.print(Text(f"{100 * share:>6.3g} %  {shown}"), soft_wrap=True)
    if len(ranked) > 20:
        rest = sum(share for _, share in ranked[20:])
        console.print(f"{100 * rest:>6.3g} %  in {len(ranked) - 20} more (--json lists all)")
