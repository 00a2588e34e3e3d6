"""The conversations at a terminal, which are kept so that `liuli chat --continue` can continue the last one with a model.

Each is a file, `liuli/conversations/MODEL/TIME.jsonl` in the user's state folder, which only the user may read. MODEL is how
the model's hash begins, so that a conversation is never continued with other weights. The file has one line of JSON, as /save
writes it, and the field `model` with the model's name and hashes.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liuli.display import printable, why
from liuli.errors import LiuliError
from liuli.files import write_whole

if TYPE_CHECKING:
    from liuli.generate.model import Model

DIGITS = 16  # of a hash, in the name of a folder

Messages = list[dict[str, Any]]


class KeptConversation:
    """The file of the conversation that is going on. It is written whenever the messages have changed.

    Attributes:
        path: the file; None until the conversation has a message of the user.
    """

    def __init__(self, model: "Model"):
        self._model = model
        self.path: Path | None = None
        self._kept: Messages = []

    def begin(self, messages: Messages) -> None:
        """Another conversation takes the place of the one so far, which stays in its file. It gets a file when it changes."""
        self.path, self._kept = None, messages

    def keep(self, messages: Messages) -> None:
        """Writes the messages if they have changed. If all were taken back, the file is removed.

        Raises:
            LiuliError: the file cannot be written.
        """
        if messages == self._kept:
            return
        self._kept = messages
        try:
            if any(message["role"] == "user" for message in messages):
                self._write(messages)
            elif self.path:
                self.path.unlink(missing_ok=True)
        except (OSError, ValueError) as error:  # ValueError: half of a surrogate pair
            raise LiuliError(f"this conversation is not kept: {_shown(self.path)} cannot be written: {why(error)}") from None

    def continue_last(self) -> Messages:
        """The messages of the last conversation with this model. From now on it is the one that is kept.

        Raises:
            LiuliError: there is none, or its file is broken.
        """
        from liuli.cli.dialogue_file import first_dialogue

        folder = self._folder()
        files: list[tuple[int, Path]] = []
        for path in folder.glob("*.jsonl"):
            with suppress(OSError):  # removed by another chat at this moment
                files.append((path.stat().st_mtime_ns, path))
        if not files:
            name = printable(self._model.path)
            raise LiuliError(
                f"there is no conversation with {name} to continue in {_shown(folder)}: leave out --continue to begin one"
            )
        path = max(files)[1]
        messages, _ = first_dialogue(str(path))
        self.path, self._kept = path, messages
        return messages

    def where(self) -> str:
        """The path of the file, as it is shown; "" if nothing was kept."""
        return _shown(self.path) if self.path and self.path.exists() else ""

    def _folder(self) -> Path:
        """The folder of the conversations with this model. Hashes the model, which takes time if it is new."""
        identity = self._model.identity()
        hashes = [each["hash"][:DIGITS] for each in (identity, identity.get("adapter")) if each]
        return conversations_folder() / "-".join(hashes)

    def _write(self, messages: Messages) -> None:
        """Writes a file that nobody else may read. Raises OSError, ValueError."""
        if self.path is None:
            self.path = self._folder() / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{os.getpid()}.jsonl"
        for folder in (self.path.parent.parent, self.path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        line = json.dumps({"messages": messages, "model": self._model.identity()}, ensure_ascii=False) + "\n"

        def fill(part: Path) -> None:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o600)
            with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(line)

        write_whole(self.path, fill)


def conversations_folder() -> Path:
    """The folder of all conversations: `liuli/conversations` in the user's state folder.

    Raises:
        LiuliError: the user has no home folder.
    """
    given = os.environ.get("XDG_STATE_HOME", "")
    try:
        state = Path(given) if os.path.isabs(given) else Path.home() / ".local" / "state"  # a relative path is ignored (XDG)
    except RuntimeError:
        raise LiuliError("conversations cannot be kept, because there is no home folder: set XDG_STATE_HOME") from None
    return state / "liuli" / "conversations"


def _shown(path: Path | None) -> str:
    """A path as it is shown, with ~ for the home folder."""
    text, home = str(path or conversations_folder()), os.path.expanduser("~")
    return printable(f"~{text.removeprefix(home)}" if text.startswith(f"{home}/") else text)
