"""`liuli tokenize`: the tokens of a text and how they were made, or those of dialogues."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len

from liuli.cli.dialogue_tokens import check_dialogues, show_dialogues
from liuli.cli.input import read_text
from liuli.cli.options import MODEL, Json, Pattern, check_model
from liuli.cli.output import Screen, print_json
from liuli.cli.wording import token_name
from liuli.cli.work_progress import work_progress
from liuli.display import visible
from liuli.errors import LiuliError
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.tokens import Token, Tokenizer
    from liuli.tokens.trace import Chunk


def tokenize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=f"The tokenizer: its folder, or {MODEL}.", show_default=False)],
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="The text; - reads it from standard input.", show_default=False)
    ] = None,
    chat: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Tokenize the dialogues in this file instead of TEXT, and mark the supervised tokens."
        ),
    ] = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="Show every merge of BPE, or every longest match of WordPiece.")
    ] = False,
    pattern: Pattern = None,
    json: Json = False,
) -> None:
    """Tokenize a text as a prompt is tokenized. With --chat, tokenize dialogues as the chat template renders them."""
    if (text is None) == (chat is None):
        raise LiuliError("give either TEXT or --chat FILE")
    if steps and chat is not None:
        raise LiuliError("--steps shows how a text is tokenized: leave it out with --chat")
    check_model(model)
    if chat is not None:
        check_dialogues(chat)
        show_dialogues(model, chat, pattern, json)
        return
    text = read_text(text or "")
    with work_progress(f"opening {model}") as work:
        from liuli.tokens import open_tokenizer
        from liuli.tokens.trace import trace

        tokenizer = open_tokenizer(model, pattern)
        work.show("encoding the text")
        tokens = tokenizer.tokens(text, prompt=True)
        chunks = trace(tokenizer, text, prompt=True) if steps else []
    if json:
        body = {
            "tokenizer": {"path": model, "kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size},
            "text": text,
            "ids": [token.id for token in tokens],
            "tokens": [token.to_json() for token in tokens],
        }
        print_json(body | {"steps": [chunk.to_json() for chunk in chunks]} if steps else body)
        return
    screen = Screen()
    names = [_name(tokenizer, token) for token in tokens]
    widest = min(max(map(cell_len, names), default=0), screen.width // 3)  # a longer name moves its own bytes only
    for token, shown in zip(tokens, names, strict=True):
        data = " ".join(f"{byte:02x}" for byte in token.bytes) or "no text"
        data = "unknown" if token.id == tokenizer.unknown else data
        screen.print_text(data, before=f"{token.id:>8}  {shown}{' ' * (widest - cell_len(shown))}  ")
    sizes = zip((len(tokens), len(text), len(text.encode())), ("token", "character", "byte"), strict=True)
    screen.print_text(f"{', '.join(counted(*size) for size in sizes)} ({tokenizer.kind})")
    for chunk in chunks:
        heading = f"\n{visible(chunk.text, chunk.text.encode())}  (characters {chunk.span[0]} to {chunk.span[1]})"
        screen.print_text("\n    ".join([heading, *_steps_of(tokenizer, chunk)]))


def _name(tokenizer: "Tokenizer", token: "Token") -> str:
    """A token on one line; one that continues a word begins with ##, as in WordPiece's vocabularies."""
    piece = tokenizer.encoder.piece(token.id)
    continues = piece is not None and piece[1]
    return f"##{token_name(token)}" if continues else token_name(token)


def _steps_of(tokenizer: "Tokenizer", chunk: "Chunk") -> list[str]:
    """The chunk's matches, or its symbols and each merge, one per line."""
    if chunk.matches:
        found = [(f"[{match.start}:{match.end}]", match.piece) for match in chunk.matches]
        return [f"{where} {_name(tokenizer, piece)}  (id {piece.id})" for where, piece in found]
    lines = [" ".join(map(token_name, chunk.symbols))]
    for join in chunk.joins:
        pair = f"{token_name(join.left)} + {token_name(join.right)}"
        lines.append(f"{pair} → {token_name(join.result)}  (rank {join.rank}, id {join.result.id})")
    return lines
