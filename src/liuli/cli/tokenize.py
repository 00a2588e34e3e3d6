"""`liuli tokenize`: a text's tokens, and how it was cut; or those of dialogues."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len
from rich.text import Text

from liuli.cli.dialogue_tokens import show_dialogues
from liuli.cli.input import read_text
from liuli.cli.options import Folder, Json, Pattern
from liuli.cli.output import Screen, print_json
from liuli.cli.wording import counted, token_name
from liuli.display import visible
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.tokens import Token, Tokenizer
    from liuli.tokens.trace import Chunk


def tokenize(
    folder: Folder,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="The text; - reads standard input.", show_default=False)
    ] = None,
    chat: Annotated[
        str | None, typer.Option(metavar="FILE", help="Dialogues instead: which of their tokens a model learns to write.")
    ] = None,
    steps: Annotated[bool, typer.Option("--steps", help="Show every merge, or every longest match.")] = False,
    pattern: Pattern = None,
    json: Json = False,
) -> None:
    """Cut a text into tokens, as a prompt would be; or dialogues, as a chat template writes them."""
    if (text is None) == (chat is None):
        raise LiuliError("give one of the two: TEXT, or --chat FILE")
    if steps and chat is not None:
        raise LiuliError("--steps shows how a text is cut: leave it out with --chat")
    from liuli.tokens import open_tokenizer
    from liuli.tokens.trace import trace

    tokenizer = open_tokenizer(folder, pattern)
    if chat is not None:
        show_dialogues(folder, tokenizer, chat, json)
        return
    text = read_text(text or "")
    tokens = tokenizer.tokens(text, prompt=True)
    chunks = trace(tokenizer, text, prompt=True) if steps else []
    if json:
        body = {
            "tokenizer": {"path": folder, "kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size},
            "text": text,
            "ids": [token.id for token in tokens],
            "tokens": [token.to_json() for token in tokens],
        }
        print_json(body | {"steps": [chunk.to_json() for chunk in chunks]} if steps else body)
        return
    screen = Screen()
    names = [_name(tokenizer, token) for token in tokens]
    widest = max(map(cell_len, names), default=0)
    for token, shown in zip(tokens, names, strict=True):
        data = " ".join(f"{byte:02x}" for byte in token.bytes) or "no text"
        data = "unknown" if token.id == tokenizer.unknown else data
        screen.print(Text(f"{token.id:>8}  {shown}{' ' * (widest - cell_len(shown))}  {data}"), soft_wrap=True)
    sizes = zip((len(tokens), len(text), len(text.encode())), ("token", "character", "byte"), strict=True)
    screen.print(f"{', '.join(counted(*size) for size in sizes)} ({tokenizer.kind})")
    for chunk in chunks:
        heading = f"\n{visible(chunk.text, chunk.text.encode())}  (characters {chunk.span[0]} to {chunk.span[1]})"
        screen.print(Text("\n    ".join([heading, *_steps_of(tokenizer, chunk)])), soft_wrap=True)


def _name(tokenizer: "Tokenizer", token: "Token") -> str:
    """A token on one line; a piece that goes on a word with ## in front, as WordPiece's vocabularies have it."""
    piece = tokenizer.encoder.piece(token.id)
    continues = piece is not None and piece[1]
    return f"##{token_name(token)}" if continues else token_name(token)


def _steps_of(tokenizer: "Tokenizer", chunk: "Chunk") -> list[str]:
    """The chunk's matches, or its symbols and each merge, a line each."""
    if chunk.matches:
        found = [(f"[{match.start}:{match.end}]", match.piece) for match in chunk.matches]
        return [f"{where} {_name(tokenizer, piece)}  (id {piece.id})" for where, piece in found]
    lines = [" ".join(map(token_name, chunk.symbols))]
    for join in chunk.joins:
        pair = f"{token_name(join.left)} + {token_name(join.right)}"
        lines.append(f"{pair} → {token_name(join.result)}  (rank {join.rank}, id {join.result.id})")
    return lines
