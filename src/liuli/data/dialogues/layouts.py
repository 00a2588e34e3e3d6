"""Converts a record in one of the common layouts to messages, or says what is wrong with it. Nothing is guessed.

- `messages`: a list `messages` (or `conversations`) of `{role, content}`.
- Alpaca: `instruction`, `input`, `output`; `history`, a list of pairs, comes before them. An input that is not empty follows
  its instruction on the next line, as in LLaMA-Factory.
- ShareGPT: a list `conversations` (or `messages`) of `{from, value}`. A `function_call`'s value is JSON with `name` and
  `arguments`, or a list of such (LLaMA-Factory's form of Glaive's tool calls); an `observation` is what the tool said.
- question/answer: a record of these two fields alone.

The first three may have `system`, and `tools`: a list of function tools, or such a list as JSON in a string. Other fields of a
record, such as an id or a category, are not read. A record with one of the fields in `OTHERS` is not a dialogue. An empty field
is treated as missing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from liuli.data.dialogues.messages import NOTHING, alternating, check, flaw, object_in, tidy
from liuli.data.records.bounded_json import json_kind
from liuli.data.records.problem import Problem, name_list
from liuli.data.records.readers import RecordKind
from liuli.display import printable

KNOWN = "messages, Alpaca, ShareGPT, question/answer, tab-separated turns (.txt, .tsv) and chatterbot's lists (.yml, .yaml)"
FIELDS = ("system", "tools", "input", "history", "question", "answer")  # optional fields of the layouts
SPEAKERS = {
    "human": "user", "user": "user",
    "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
    "observation": "tool", "tool": "tool",
    "system": "system",
}  # fmt: skip
OTHERS = {  # fields that show that a record is not a dialogue, and what it is
    "chosen": "a preference, not a dialogue",
    "rejected": "a preference, not a dialogue",
    "label": "a rating of an answer (thumbs up or down), not a dialogue",
    "kto_tag": "a rating of an answer (thumbs up or down), not a dialogue",
    "images": "a dialogue with images, audio or video",
    "videos": "a dialogue with images, audio or video",
    "audios": "a dialogue with images, audio or video",
}


@dataclass(frozen=True, slots=True)
class Converted:
    """The messages and tools of one record, and the layout it was in."""

    layout: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()


def convert(record: Any, answered: bool = True) -> Converted | Problem:
    """Converts a record, whose layout is recognised by its fields. `answered`: see `messages.check`."""
    if not isinstance(record, dict):
        return Problem("the record is not an object", f"found {json_kind(record)}", 'write {"messages": […]}')
    for field, what in OTHERS.items():
        value = record.get(field)
        if value not in NOTHING and (field != "label" or isinstance(value, bool)):  # any other label is a category
            return Problem(what, f"fields: {name_list(record)}", "only text dialogues are supported; remove such records")
    fitting, held = _fitting(record), {field: value for field, value in record.items() if value not in NOTHING}
    if len(fitting) > 1 and len(_fitting(held)) == 1:  # in a table, every row has the columns of all layouts
        record, fitting = held, _fitting(held)
    if set(held) <= {"question", "answer"} <= set(record):
        fitting = [_of_question]
    if len(fitting) > 1:
        return Problem("more than one layout in a record", f"fields: {name_list(record)}", "keep the fields of one of them")
    if not fitting:
        return _unknown(f"fields: {name_list(record)}")
    found = fitting[0](record)
    return found if isinstance(found, Problem) else _checked(found, answered)


def has_layout(record: dict[str, Any]) -> bool:
    """Whether a record has the fields of one of the layouts, whatever is in them."""
    return bool(_fitting(record)) or set(record) == {"question", "answer"}


def _fitting(record: dict[str, Any]) -> list[Callable[[dict[str, Any]], Converted | Problem]]:
    return [converter for fields, converter in CONVERTERS.items() if set(fields) <= set(record)]


DIALOGUE = RecordKind(
    convert,
    "dialogue",
    "dialogues",
    '{"messages": […]}',
    longest=16 << 20,  # a string may hold JSON, which is decoded too: all together this takes 300 MB at most
    shorten="remove it, or parts of it",
)


def of_turns(layout: str, turns: list[str]) -> Converted | Problem:
    """A dialogue in which the user and the assistant speak in turn."""
    return _checked(Converted(layout, tuple(alternating(turns))))


def _checked(found: Converted, answered: bool = True) -> Converted | Problem:
    return check(found.messages, answered) or found


def _unknown(detail: str) -> Problem:
    return Problem("unknown dialogue layout", detail, f"the supported layouts are {KNOWN}")


def _of_list(record: dict[str, Any]) -> Converted | Problem:
    field = "messages" if "messages" in record else "conversations"
    turns = record[field]
    if not isinstance(turns, list) or not turns:
        found = "found an empty list" if turns == [] else f"found {json_kind(turns)}"
        return Problem(f'"{field}" is not a list of messages', found, 'write [{"role": "…", "content": "…"}, …]')
    fields = turns[0] if isinstance(turns[0], dict) else ()
    if "role" in fields:
        layout, messages = "messages", turns
    elif "from" in fields:
        layout, messages = "ShareGPT", [_of_turn(turn) for turn in turns]
    else:
        what = f"has the fields {name_list(fields)}" if isinstance(turns[0], dict) else f"is {json_kind(turns[0])}"
        return _unknown(f'fields: {name_list(record)}; the first element of "{field}" {what}')
    if problem := next((each for each in messages if isinstance(each, Problem)), None):
        return problem
    return _with_extras(record, layout, messages)


def _of_instruction(record: dict[str, Any]) -> Converted | Problem:
    history = record.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        return Problem('"history" is not a list of pairs', advice='write [["question", "answer"], …]')
    asked = [record["instruction"], "" if record.get("input") in NOTHING else record["input"]]
    others = [each for each in asked if not isinstance(each, str)]  # `check` refuses these
    question = others[0] if others else "\n".join(filter(None, asked))
    turns = [turn for pair in history for turn in pair] + [question, record["output"]]
    return _with_extras(record, "Alpaca", alternating(turns))


def _of_question(record: dict[str, Any]) -> Converted:
    return Converted("question/answer", tuple(alternating([record["question"], record["answer"]])))


CONVERTERS: dict[tuple[str, ...], Callable[[dict[str, Any]], Converted | Problem]] = {
    ("messages",): _of_list,
    ("conversations",): _of_list,
    ("instruction", "output"): _of_instruction,
}


def _with_extras(record: dict[str, Any], layout: str, messages: list[Any]) -> Converted | Problem:
    """The record's own system message in front, and its tools."""
    system, tools = record.get("system"), function_tools(record.get("tools"))
    first = [] if system in NOTHING else [{"role": "system", "content": system}]
    return tools if isinstance(tools, Problem) else Converted(layout, tuple(map(tidy, first + messages)), tools)


def _of_turn(turn: Any) -> Any:
    """A message from a ShareGPT turn. Unknown fields are left for `check`."""
    if not isinstance(turn, dict):
        return turn
    speaker, value = turn.get("from"), turn.get("value")
    others = {field: other for field, other in turn.items() if field not in ("from", "value")}
    if speaker == "function_call":
        calls = object_in(value)
        calls = calls if isinstance(calls, list) else [calls]
        if not calls or not all(isinstance(call, dict) and set(call) == {"name", "arguments"} for call in calls):
            said = value if isinstance(value, str) else json_kind(value)
            advice = 'write {"name": "…", "arguments": {…}}'
            return Problem("a function_call that is not JSON with name and arguments", printable(said[:64]), advice)
        return others | {"role": "assistant", "content": "", "tool_calls": [{"function": call} for call in calls]}
    role = SPEAKERS.get(speaker, speaker) if isinstance(speaker, str) else speaker
    return others | {"role": role, "content": value}


def function_tools(given: Any) -> tuple[dict[str, Any], ...] | Problem:
    """Function tools in the form that chat templates read. A bare `{name, description, parameters}` is wrapped in that form."""
    tools = object_in(given) if given else []
    if not isinstance(tools, list):
        return Problem('"tools" is not a list of tools', f"found {json_kind(tools)}", "write a list of function tools")
    framed = [
        {"type": "function", "function": tool} if isinstance(tool, dict) and "name" in tool and "function" not in tool else tool
        for tool in tools
    ]
    if not all(map(_is_tool, framed)):
        advice = 'write {"type": "function", "function": {"name": "…", "description": "…", "parameters": {…}}}'
        return Problem("a tool that cannot be read", advice=advice)
    problem = flaw(framed)
    return replace(problem, detail=f"tools: {problem.detail}") if problem else tuple(framed)


def _is_tool(tool: Any) -> bool:
    function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"].strip():
        return False
    return isinstance(function.get("description") or "", str) and isinstance(function.get("parameters") or {}, dict)
