"""Reads dialogues from files, folders, standard input and the hub: streamed, in a fixed order, with nothing lost silently.

A source is a list of names, as for `Sources`. These formats are read, and all except Parquet may be compressed (`.gz`, `.zst`):

- `.jsonl`, `.json` (a list, or one object per line): records in the layouts of `layouts.py`;
- `.txt`, `.tsv`: one dialogue per line;
- `.yml`, `.yaml`: chatterbot's lists;
- `.parquet`: one record per row.

Standard input is read as `.jsonl`.
"""

import codecs
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from liuli.data.dialogues.chatterbot import ChatterbotReader
from liuli.data.dialogues.layouts import DIALOGUE, Converted, convert
from liuli.data.dialogues.parquet import DialogueParquetReader
from liuli.data.dialogues.tab_separated import TabSeparatedReader
from liuli.data.records.bounded_json import parse_json
from liuli.data.records.find_files import SourceNames, find_files, name_texts
from liuli.data.records.problem import Problem
from liuli.data.records.readers import JsonLineReader, JsonListReader, RecordKind, RecordReader, format_of
from liuli.data.records.skipped import Skipped, SourcePass, open_reader
from liuli.data.records.source_files import FileFormats, SourceFile
from liuli.watch import Watch

DIALOGUES = FileFormats(
    what="dialogues",
    known=".jsonl, .json, .txt, .tsv, .yml, .yaml (each also .gz or .zst) and .parquet",
    piped="lines",
    suffixes={
        ".jsonl": "lines",
        ".json": "array",
        ".txt": "turns",
        ".tsv": "turns",
        ".yml": "yaml",
        ".yaml": "yaml",
        ".parquet": "parquet",
    },
)
BEGIN = 1 << 16  # bytes at the beginning of a file that are read to check whether its first line is an object
QUESTIONS = replace(DIALOGUE, make=partial(convert, answered=False))


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One dialogue.

    Attributes:
        messages: in the form of `messages.py`.
        source: where it is from, for people: `belle.json:17`.
        tools: function tools that the assistant may call, in the form that chat templates read.
    """

    messages: tuple[dict[str, Any], ...]
    source: str
    tools: tuple[dict[str, Any], ...] = ()

    @property
    def first_prompt(self) -> str:
        """The user's first message. It decides whether the dialogue is held out."""
        return next(message["content"] for message in self.messages if message["role"] == "user")

    @property
    def answered(self) -> bool:
        """Whether the last message is the assistant's."""
        return self.messages[-1]["role"] == "assistant"

    def to_json(self) -> dict[str, Any]:
        """`messages`, and `tools` if there are any."""
        return {"messages": list(self.messages)} | ({"tools": list(self.tools)} if self.tools else {})


@dataclass(slots=True)
class DialoguePass(SourcePass):
    """What one pass over dialogues has found so far."""

    layouts: dict[str, Counter[str]] = field(default_factory=dict)
    unanswered: int = 0


class Dialogues:
    """The dialogues of one or several sources. Any number of passes over them may run at the same time.

    Attributes:
        skipped: what the latest pass has skipped so far, and why.
        layouts: for each file, by name, how many dialogues of each layout the latest pass has read so far.
        unanswered: how many dialogues of the latest pass have a last message without an answer. Nothing is learned from that
            message.

    Args:
        names: files, folders, `-`, `hub:…`; a single name need not be in a list.
        strict: stop at the first problem instead of skipping and counting it.
        answered: whether each dialogue must have an answer to learn from. If not, those of a `.jsonl` or `.json` may be mere
            questions.
        watch: is called as the files are read.

    Raises:
        LiuliError: a name does not exist; while streaming, a problem that cannot be skipped (see `dialogues`).
    """

    def __init__(
        self,
        names: SourceNames,
        strict: bool = False,
        answered: bool = True,
        watch: Watch | None = None,
    ):
        self.names = name_texts(names)
        self.strict, self.watch = strict, watch
        self.kind = DIALOGUE if answered else QUESTIONS
        self.files = find_files(self.names, DIALOGUES, watch)
        self._latest = DialoguePass(strict)

    def __iter__(self) -> Iterator[Dialogue]:
        return self.dialogues()

    @property
    def skipped(self) -> list[Skipped]:
        return list(self._latest.skipped.values())

    @property
    def layouts(self) -> dict[str, dict[str, int]]:
        return {file: dict(counts) for file, counts in self._latest.layouts.items()}

    @property
    def unanswered(self) -> int:
        return self._latest.unanswered

    def dialogues(self) -> Iterator[Dialogue]:
        """Yields all dialogues in order. Every call yields the same.

        Raises:
            LiuliError: there is no dialogue at all; a file changes while it is read; a file that the user named does not hold a
                list of dialogues; if `strict`, anything that would be skipped.
        """
        this = self._latest = DialoguePass(self.strict)
        for file in self.files:
            reader = open_reader(file, partial(open_dialogue_reader, kind=self.kind))
            if isinstance(reader, Problem):
                this.skip(file, file.name, reader)
                continue
            for index, found in this.records(file, reader):
                dialogue = Dialogue(found.messages, reader.place(index), found.tools)
                this.layouts.setdefault(file.name, Counter())[found.layout] += 1
                this.unanswered += not dialogue.answered
                yield dialogue
        if not this.layouts:
            raise this.nothing("dialogue", self.names)


def open_dialogue_reader(file: SourceFile, kind: RecordKind[Converted]) -> RecordReader[Converted]:
    """Returns the reader for a file's format. Raises Unreadable: the format is not supported, or the file cannot be read."""
    match format_of(file):
        case "turns":
            return TabSeparatedReader(file)
        case "yaml":
            return ChatterbotReader(file)
        case "parquet":
            return DialogueParquetReader(file, kind)
        case "array" if not _begins_with_an_object(file):
            return JsonListReader(file, kind)
        case _:
            return JsonLineReader(file, kind)


def _begins_with_an_object(file: SourceFile) -> bool:
    """Whether the first line of a `.json` is an object by itself. Many datasets use this suffix for one object per line."""
    with file.open() as stream:
        begin = stream.readline(BEGIN).removeprefix(codecs.BOM_UTF8).lstrip()
        if not begin.startswith(b"{"):
            return False
        rest = b"" if begin.endswith(b"\n") else stream.readline(DIALOGUE.longest)
    return not isinstance(parse_json(begin + rest), Problem)
