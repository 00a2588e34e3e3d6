"""One dialogue in a file, as a line of JSON: `{"messages": […]}`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liuli.data.dialogues.layouts import DIALOGUE, function_tools
from liuli.data.dialogues.messages import check
from liuli.data.records.bounded_json import parse_json
from liuli.data.records.problem import Problem
from liuli.data.records.source_files import open_regular
from liuli.display import printable, why
from liuli.errors import LiuliError
from liuli.files import write_json_lines
from liuli.output_paths import check_given, check_new_file


def write_dialogue(name: str, messages: list[dict[str, Any]], tools: Sequence[dict[str, Any]] = ()) -> None:
    """Writes the messages, and the tools if there are any, to a new file.

    Raises:
        LiuliError: the file already exists or cannot be written; the messages could not be read again.
    """
    shown = printable(name)
    if problem := check(messages, answered=False):
        raise LiuliError(f"{shown} was not written: {problem.at('the conversation')}")
    dialogue = {"messages": messages} | ({"tools": list(tools)} if tools else {})
    check_given(name)
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:  # nobody's ~
        raise LiuliError(f"{shown} cannot be written: {why(error)}; give another path") from None
    check_new_file(path)
    write_json_lines([dialogue], path)


def first_dialogue(name: str) -> tuple[list[dict[str, Any]], bool]:
    """The messages on the first line of a file, and whether more follows.

    Raises:
        LiuliError: the file cannot be read, or does not begin with a dialogue, or with one that has tools.
    """
    shown = printable(name)
    try:
        path = Path(name).expanduser()
        if path.exists() and not path.is_file():
            raise LiuliError(f"{shown} is not a file: give a file that begins with a dialogue")
        with open_regular(path) as file:
            line = file.readline(DIALOGUE.longest)
            more = bool(file.readline(DIALOGUE.longest).strip())
    except (OSError, RuntimeError, ValueError) as error:
        raise LiuliError(f"{shown} cannot be read: {why(error)}") from None
    if len(line) == DIALOGUE.longest:
        raise LiuliError(f"{shown}: the first line is longer than {DIALOGUE.longest >> 20} MB; load a shorter dialogue")
    record = parse_json(line)
    messages = record.get("messages") if isinstance(record, dict) else None
    if not isinstance(messages, list):
        raise LiuliError(
            f'{shown} does not begin with a line {{"messages": […]}}: load a file that /save has written, or convert the file '
            f"with liuli data convert"
        )
    if problem := check(messages, answered=False):
        raise LiuliError(problem.at(shown))
    if isinstance(record, dict) and record.get("tools"):
        raise LiuliError(f"{shown}: the dialogue has tools, which /load does not support; load a dialogue without tools")
    return messages, more


def read_tools(path: Path) -> tuple[dict[str, Any], ...]:
    """The function tools in a JSON file: a list of them, or a single one, in the form of the chat completions API.

    Raises:
        LiuliError: the file cannot be read, is too long, or does not hold tools.
    """
    shown = printable(str(path))
    try:
        with open_regular(path) as file:
            data = file.read(DIALOGUE.longest)
    except OSError as error:
        raise LiuliError(f"{shown} cannot be read: {why(error)}") from None
    if len(data) == DIALOGUE.longest:
        raise LiuliError(f"{shown} is longer than {DIALOGUE.longest >> 20} MB: give fewer tools")
    found = parse_json(data)
    tools = found if isinstance(found, Problem) else function_tools([found] if isinstance(found, dict) else found)
    if isinstance(tools, Problem):
        raise LiuliError(tools.at(shown))
    if not tools:
        raise LiuliError(f"{shown} holds no tools: write a JSON list of function tools")
    return tools
