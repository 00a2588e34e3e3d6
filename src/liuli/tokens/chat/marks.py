"""Marks control strings that somebody typed into a message, so that they can be distinguished in the rendered text.

A control string is the text of a token that the template writes, such as `<|im_end|>`. If a user types it, it must be encoded
as plain text, not as the control token. So each typed control string is put between two private-use characters that do not
occur in any message. The string itself is not changed, so a template can still search for it (`content.split('</think>')`).
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from liuli.errors import LiuliError
from liuli.tokens.strings import StringFinder

Messages = Sequence[dict[str, Any]]
PRIVATE_USE = range(0xF0000, 0xFFFFE)


class PlainText(NamedTuple):
    """Rendered text without marks. `typed`: the half-open ranges of characters that must not be read as control strings."""

    text: str
    typed: list[tuple[int, int]]


class Marks:
    """Messages in which the typed control strings are marked.

    Attributes:
        messages, tools: the messages and tools with marks.
        by_assistant: the control strings that are marked in the assistant's messages.

    Args:
        kept: control strings that are not marked in the assistant's messages (except in the arguments of its tool calls).

    Raises:
        LiuliError: the messages contain all private-use characters.
    """

    def __init__(self, controls: StringFinder, messages: Messages, tools: Sequence[Any], kept: frozenset[str] = frozenset()):
        self._controls, self._given, self._kept = controls, (messages, tools), kept
        texts = list(_strings((list(messages), list(tools))))
        self._any = any(controls.find(text) for text in texts)
        self._begin, self._end = free_characters(texts) if self._any else ("", "")
        replies = [text for message in messages if message.get("role") == "assistant" for text in message.values()]
        texts = [text for text in replies if isinstance(text, str)] if self._any else []
        self.by_assistant = {text[start:end] for text in texts for start, end in controls.find_all(text)} - kept
        self.messages = [self._marked_message(message) for message in messages]
        self.tools = self._marked(list(tools))

    def keeping(self, kept: frozenset[str]) -> "Marks":
        """Returns the same messages, in which these control strings are not marked either in the assistant's messages."""
        return Marks(self._controls, *self._given, kept=self._kept | kept)

    def read(self, text: str) -> PlainText:
        """Removes the marks from the rendered text of these messages."""
        if not self._any:
            return PlainText(text, [])
        pieces = re.split(f"([{self._begin}{self._end}])", text)  # alternately texts and marks
        plain, typed, breaks, i = pieces[0], [], [], 1
        while i < len(pieces):
            if pieces[i] == self._begin and pieces[i + 2 : i + 3] == [self._end] and self._is_control(pieces[i + 1]):
                typed.append((len(plain), len(plain) + len(pieces[i + 1])))
                plain += pieces[i + 1] + pieces[i + 3]
                i += 4
            else:
                breaks.append(len(plain))
                plain += pieces[i + 1]
                i += 2
        # If a template split a marked string, its parts must not form a control string again.
        found = list(self._controls.find_all(plain)) if breaks else []
        typed += [(start, end) for start, end in found if any(start < place < end for place in breaks)]
        return PlainText(plain, sorted(typed))

    def _is_control(self, text: str) -> bool:
        return self._controls.find(text) == (0, len(text))

    def _marked_message(self, message: dict[str, Any]) -> dict[str, Any]:
        if message.get("role") != "assistant":
            return self._marked(message)
        found = {name: self._marked(value) for name, value in message.items()}
        said = {name: self._marked(value, self._kept) for name, value in message.items() if isinstance(value, str)}
        return found | said

    def _marked(self, value: Any, kept: frozenset[str] = frozenset()) -> Any:
        if not self._any:
            return value
        if isinstance(value, str):
            return self._controls.replace(value, lambda text: text if text in kept else f"{self._begin}{text}{self._end}")
        if isinstance(value, dict):
            return {self._marked(key): self._marked(inner) for key, inner in value.items()}
        return [self._marked(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def free_characters(texts: list[str]) -> tuple[str, str]:
    """Two characters of private use that the texts do not have.

    Raises:
        LiuliError: the texts have all of them.
    """
    taken = set().union(*texts)
    free = list(islice((chr(code) for code in PRIVATE_USE if chr(code) not in taken), 2))
    if len(free) < 2:
        raise LiuliError("the messages contain every private-use character of plane 15: remove some of them")
    return free[0], free[1]


def _strings(value: Any) -> Iterator[str]:
    """Yields every string in messages."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key)
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)
