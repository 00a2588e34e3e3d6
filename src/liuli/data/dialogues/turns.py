"""Files of nothing but turns: a dialogue a line, its turns split by tabs; and chatterbot's YAML, lists of turns in a list.

In both the user speaks first, and then one answers the other: each turn of chatterbot's is a response to the one before.
"""

from dataclasses import replace

import yaml

from liuli.data.dialogues.layouts import Converted, convert, of_turns
from liuli.data.text.files import File, Problem, Unreadable
from liuli.data.text.records import Array, Kind, Lines, read_whole
from liuli.data.text.texts import not_utf8
from liuli.display import first_line

LARGEST_YAML = 1 << 20  # bytes of one file, which is read whole: about a second, a quarter of a minute if all of it is brackets
DIALOGUE = Kind(convert, "dialogue", "dialogues", '{"messages": […]}', "take it away, or parts of it")


class TabbedLines(Lines[Converted]):
    """A `.txt` or `.tsv` file."""

    def __init__(self, file: File):
        super().__init__(file, DIALOGUE)

    def _of_line(self, line: bytes) -> Converted | Problem:
        try:
            turns = line.decode().rstrip("\r\n").split("\t")
        except UnicodeDecodeError as error:
            return not_utf8(line, error)
        if len(turns) == 1:
            return Problem("one turn alone, without a tab", advice="a line holds the turns of a dialogue, split by tabs")
        return of_turns("tab-separated turns", turns)


class Chatterbot(Array[Converted]):
    """A `.yml` or `.yaml` file with `conversations`, a list of lists of turns. It is read whole; a place is its line."""

    def __init__(self, file: File):
        super().__init__(file, replace(DIALOGUE, make=_of_node))
        self._lines: list[int] = []

    def place(self, index: int) -> str:
        return f"{self.file.name}:{self._lines[index]}"

    def _load(self) -> list[yaml.Node]:
        root = _compose(read_whole(self.file, LARGEST_YAML))
        pairs = root.value if isinstance(root, yaml.MappingNode) else []
        found = [value for key, value in pairs if key.value == "conversations" and isinstance(value, yaml.SequenceNode)]
        if len(found) != 1:
            raise Unreadable(Problem('no list "conversations"', advice="write it as chatterbot does", no_text=True))
        if not found[0].value:
            raise Unreadable(self.kind.nothing)
        self._lines = [node.start_mark.line + 1 for node in found[0].value]
        return found[0].value


class Loader(yaml.BaseLoader):
    """Makes nothing of what it reads: each scalar is the string that stands there, so that `Yes` and `1984` stay as they are
    and nothing is run. Aliases, by which a small file could be endless, are refused."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias", problem_mark=self.peek_event().start_mark)
        return super().compose_node(parent, index)


def _compose(data: bytes) -> yaml.Node | None:
    try:
        return yaml.compose(data.decode(), Loader=Loader)
    except UnicodeDecodeError as error:
        raise Unreadable(not_utf8(data, error)) from None
    except yaml.MarkedYAMLError as error:
        where = f" at line {error.problem_mark.line + 1:,}" if error.problem_mark else ""
        raise Unreadable(Problem("broken YAML", f"{error.problem}{where}", "mend it, or take it away")) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise Unreadable(Problem("broken YAML", first_line(error), "mend it, or take it away")) from None


def _of_node(node: yaml.Node) -> Converted | Problem:
    turns = node.value if isinstance(node, yaml.SequenceNode) else []
    if not turns or not all(isinstance(turn, yaml.ScalarNode) for turn in turns):
        return Problem("a conversation that is no list of turns", advice="write - - question, and below it - answer")
    return of_turns("chatterbot", [turn.value for turn in turns])
