"""Dialogues as a chat template renders them, their tokens, and which of them are supervised: `liuli tokenize --chat`."""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from liuli.cli.output import Screen, note, note_skipped, print_json
from liuli.cli.wording import token_name
from liuli.cli.work_progress import work_progress
from liuli.display import printable
from liuli.errors import LiuliError
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.data.dialogues.dialogues import Dialogue
    from liuli.data.dialogues.encode import EncodedDialogue
    from liuli.tokens import Tokenizer
    from liuli.tokens.chat.chat import Chat

SHOWN = 10  # dialogues of a file
GUTTERS = {False: "  ", True: "> "}  # of a line that is not supervised, and of one that is: so it can be read without colour
STYLES = {  # (supervised, special)
    (False, False): "",
    (False, True): "cyan",
    (True, False): "green",
    (True, True): "bold green",
}
LEGEND = (
    ("  text", ""),
    ("special token", "cyan"),
    ("> supervised: a model learns to generate it", "green"),
    ("supervised special token", "bold green"),
)


def check_dialogues(file: str) -> None:
    """Raises LiuliError: there is no such file, or Liuli reads no dialogues from files of this type. Reads nothing."""
    from liuli.data.dialogues.dialogues import DIALOGUES
    from liuli.data.records.find_files import check_names

    check_names([file], DIALOGUES)


def show_dialogues(folder: str, file: str, pattern: str | None, json: bool) -> None:
    """The first dialogues of a file, and how many more it holds."""
    with work_progress(f"opening {folder}") as work:
        from liuli.data.dialogues.dialogues import Dialogues
        from liuli.hub import find_model
        from liuli.tokens import open_tokenizer
        from liuli.tokens.chat.chat import Chat

        tokenizer = open_tokenizer(folder, pattern)
        chat, dialogues = Chat.open(find_model(folder), tokenizer), Dialogues(file, watch=work.reading)
        stream = iter(dialogues)
        found = _encoded(chat, islice(stream, SHOWN))
        more = sum(1 for _ in stream)
    note_skipped(dialogues.skipped)
    if json:
        about = {"path": folder, "kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size}
        bodies = [_to_json(tokenizer, *each) for each in found]
        print_json({"tokenizer": about, "template": chat.origin, "dialogues": bodies, "more": more})
        return
    screen = Screen()
    room = screen.width if screen.is_terminal else math.inf
    for dialogue, encoded in found:
        screen.print_text(f"{printable(dialogue.source)}: {_sizes([encoded])}", style="dim")
        for line in _lines(room, tokenizer, encoded):
            screen.print(line, soft_wrap=True)
    screen.print()
    screen.print_text(Text("   ").join(Text(*pair) for pair in LEGEND))
    sizes = _sizes([encoded for _, encoded in found])
    screen.print_text(f"{counted(len(found), 'dialogue')}: {sizes}; chat template: {chat.origin}")
    if more:
        verb = "is" if more == 1 else "are"
        screen.print_text(f"{counted(more, 'more dialogue')} in {printable(file)} {verb} not shown")


def _encoded(chat: "Chat", dialogues: "Iterator[Dialogue]") -> "list[tuple[Dialogue, EncodedDialogue]]":
    """The dialogues that the template accepts; why it refuses the others is printed to standard error.

    Raises:
        LiuliError: it accepts none of them.
    """
    from liuli.data.dialogues.encode import encode_dialogue

    found, refused = [], []
    for dialogue in dialogues:
        try:
            found.append((dialogue, encode_dialogue(chat, dialogue.messages, dialogue.tools)))
        except LiuliError as error:
            refused.append(f"{printable(dialogue.source)}: {error}")
    if not found:
        raise LiuliError(refused[0])
    for each in refused:
        note(f"skipped {each}")
    return found


def _to_json(tokenizer: "Tokenizer", dialogue: "Dialogue", encoded: "EncodedDialogue") -> dict[str, Any]:
    return {
        "source": dialogue.source,
        "text": encoded.text,
        "ids": encoded.ids,
        "tokens": [tokenizer.token(id).to_json() for id in encoded.ids],
        "supervised": encoded.supervised,
        **({} if encoded.weights is None else {"weights": encoded.weights}),
    }


def _sizes(dialogues: "Sequence[EncodedDialogue]") -> str:
    tokens = sum(len(encoded.ids) for encoded in dialogues)
    return f"{counted(tokens, 'token')}, {sum(sum(encoded.supervised) for encoded in dialogues):,} supervised"


def _lines(room: float, tokenizer: "Tokenizer", encoded: "EncodedDialogue") -> Iterator[Text]:
    """A line ends where the text has a line break, where supervision begins or ends, so that what stands in front of a line
    holds for all of it, and before a token that would not fit into `room` cells."""
    line, before = Text(), False
    for id, supervised in zip(encoded.ids, encoded.supervised, strict=True):
        token = tokenizer.token(id)
        shown = token_name(token)
        if line and (supervised != before or line.plain.endswith("⏎") or line.cell_len + 1 + cell_len(shown) > room):
            yield line
            line = Text()
        line.append("│" if line else GUTTERS[supervised], "dim" if line else STYLES[supervised, False])
        line.append(shown, STYLES[supervised, token.special])
        before = supervised
    yield line
