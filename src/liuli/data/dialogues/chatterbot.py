"""Chatterbot's `.yml` or `.yaml` files: `conversations`, a list of lists of turns, each a response to the one before it.

Only strings are read from YAML: each scalar is the string as it is written, so that `Yes` and `1984` stay as they are and
nothing is run. The file is read as a stream of events, so that no nesting fills the stack. Aliases, with which a small file
could become endless, are refused.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml

from liuli.data.dialogues.layouts import DIALOGUE, Converted, of_turns
from liuli.data.records.problem import Problem, Unreadable
from liuli.data.records.readers import RecordReader, read_whole
from liuli.data.records.utf8 import utf8_problem
from liuli.display import first_line, printable

LARGEST_YAML = 1 << 20  # bytes of one file, which takes a second to read, or twenty if it holds nothing but commas
DEEPEST_YAML = 128  # levels of nested lists and objects
LIST = "conversations"
FIX = "fix it, or remove it"
AS_LIST = "write it as a YAML list: first the question, then the answer"


class ChatterbotReader(RecordReader[Converted]):
    """The dialogues of a file, each checked. It is read whole; a dialogue's place is its line."""

    _conversations: "list[YamlDialogue] | None" = None

    def place(self, index: int) -> str:
        assert self._conversations is not None
        return f"{self.file.name}:{self._conversations[index].line}"

    def _count(self) -> int:
        with suppress(Unreadable):
            return len(self._load())
        return 0

    def records(self, start: int = 0) -> Iterator[tuple[int, Converted | Problem]]:
        conversations = self._load()
        for index in range(start, len(conversations)):
            yield index, _converted(conversations[index])

    def _load(self) -> "list[YamlDialogue]":
        self._conversations = _read_conversations(read_whole(self.file, LARGEST_YAML))
        if not self._conversations:
            raise Unreadable(DIALOGUE.nothing)
        return self._conversations


@dataclass(frozen=True, slots=True)
class YamlDialogue:
    """One element of the list, the line at which it stands, and its turns; None if it is not a list of scalars."""

    line: int
    turns: list[str] | None


def _converted(conversation: YamlDialogue) -> Converted | Problem:
    if not conversation.turns:
        return Problem("a conversation that is not a list of turns", advice=AS_LIST)
    return of_turns("chatterbot", conversation.turns)


def _read_conversations(data: bytes) -> list[YamlDialogue]:
    """The elements of the one list `conversations`. Raises Unreadable: there is none, or the file is broken."""
    try:
        found = list(_lists(_events(data.decode())))
    except UnicodeDecodeError as error:
        raise Unreadable(utf8_problem(data, error)) from None
    except yaml.MarkedYAMLError as error:
        where = f" at line {error.problem_mark.line + 1:,}" if error.problem_mark else ""
        raise Unreadable(Problem("broken YAML", f"{printable(error.problem or '')}{where}", FIX)) from None
    except yaml.YAMLError as error:
        raise Unreadable(Problem("broken YAML", first_line(error), FIX)) from None
    if len(found) != 1:
        reason = f'the file has {"more than one list" if found else "no list"} "{LIST}"'
        raise Unreadable(Problem(reason, advice="put the dialogues in one list of that name", fatal_if_named=True))
    return found[0]


def _events(text: str) -> Iterator[Any]:
    """The events of the one document in a text.

    Raises:
        yaml.YAMLError: the text is broken.
        Unreadable: it has several documents or an alias, or is nested too deeply.
    """
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _unsupported("an alias", event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > DEEPEST_YAML:
            raise _unsupported(f"nested more than {DEEPEST_YAML} levels deep", event)
        if documents > 1:
            raise _unsupported("a second document", event)
        yield event


def _unsupported(what: str, event: Any) -> Unreadable:
    return Unreadable(Problem("unsupported YAML", f"{what} at line {event.start_mark.line + 1:,}", "remove it"))


def _lists(events: Iterator[Any]) -> Iterator[list[YamlDialogue]]:
    """The elements of each list `conversations` that is a value of the outermost mapping."""
    for event in events:
        if isinstance(event, yaml.MappingStartEvent):
            break
        if isinstance(event, (yaml.CollectionStartEvent, yaml.ScalarEvent)):
            _consume(events, event)
    for key in events:
        if isinstance(key, yaml.MappingEndEvent):
            break
        _consume(events, key)
        value = next(events)
        if isinstance(key, yaml.ScalarEvent) and key.value == LIST and isinstance(value, yaml.SequenceStartEvent):
            yield _conversations_in(events)
        else:
            _consume(events, value)
    for _ in events:  # which may still be broken
        pass


def _conversations_in(events: Iterator[Any]) -> list[YamlDialogue]:
    """The elements up to the end of the list that has just begun."""
    found: list[YamlDialogue] = []
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            break
        turns = _turns_in(events) if isinstance(event, yaml.SequenceStartEvent) else _consume(events, event)
        found.append(YamlDialogue(event.start_mark.line + 1, turns))
    return found


def _turns_in(events: Iterator[Any]) -> list[str] | None:
    """The scalars up to the end of the list that has just begun; None if it holds anything else."""
    turns: list[str] = []
    scalars = True
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            break
        if isinstance(event, yaml.ScalarEvent):
            turns.append(event.value)
        else:
            scalars = False
            _consume(events, event)
    return turns if scalars else None


def _consume(events: Iterator[Any], event: Any) -> None:
    """Passes over the rest of the value that begins with `event`."""
    depth = int(isinstance(event, yaml.CollectionStartEvent))
    while depth:
        event = next(events)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
