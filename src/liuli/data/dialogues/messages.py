"""Checks the messages of a dialogue, and brings them into the form that chat templates read.

A message is `{"role": "system" | "user" | "assistant" | "tool", "content": str}`. A message of the assistant may also have:

- `tool_calls`: `[{"type": "function", "function": {"name": str, "arguments": dict}}]`;
- `reasoning_content`: what it thought before it answered;
- `weight`: how much it counts in training, from 0 (not at all) to 1.

`name`, a tool's `tool_call_id` and a call's `id` are kept. Any other field is refused, because it would be lost, unless it is
empty.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from liuli.data.records.bounded_json import json_kind, parse_json
from liuli.data.records.problem import Problem, name_list
from liuli.data.records.utf8 import encode_text
from liuli.display import printable
from liuli.fields import is_number

NOTHING = (None, "", [])  # a field with one of these values is treated as missing
FOLLOW = {  # the roles that may follow each role; a tool may follow only while a tool call waits for its result
    "nobody": ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
}
ROLES = ("system", "user", "assistant", "tool")
ORDER = "one system message may come first; user and assistant take turns; a tool answers the assistant's call"
DEEPEST = 64  # levels of nested lists and objects in the arguments of a call or the schema of a tool
OF_REPLIES = ("reasoning_content", "weight")
CALL = '{"type": "function", "function": {"name": "…", "arguments": {…}}}'


def check(messages: Sequence[Any], answered: bool = True) -> Problem | None:
    """Returns the first problem of a dialogue; None if it can be trained on.

    A last message without an answer is not a problem: nothing is learned from it.

    Args:
        answered: whether the dialogue must have a message of the assistant. A chat that waits for its first reply has none.
    """
    before, waiting, answers = "nobody", 0, 0
    for number, message in enumerate(messages, 1):
        problem = _flaw_of_message(message) or _flaw_of_order(message["role"], before, waiting)
        if problem:
            detail = f": {problem.detail}" if problem.detail else ""
            return replace(problem, detail=f"message {number:,}{detail}")
        before = message["role"]
        waiting = len(message.get("tool_calls", ())) if before == "assistant" else waiting - (before == "tool")
        answers += before == "assistant" and message.get("weight", 1) > 0
    if not messages:
        return Problem("the dialogue has no messages", advice="add messages, or remove the dialogue")
    if answered and not answers:
        if any(message["role"] == "assistant" for message in messages):
            advice = "give one of them a weight above 0"
            return Problem("the dialogue has no answer to learn from", "all answers have weight 0", advice)
        return Problem("the dialogue has no answer", advice="add a message with the role assistant, or remove the dialogue")
    return None


def tidy(message: Any) -> Any:
    """Returns the message in one standard form: parts of text are joined, JSON in the arguments of a call is decoded,
    `reasoning` becomes `reasoning_content`, `train` becomes `weight`, and empty fields are removed. Anything else is left for
    `check`."""
    if not isinstance(message, dict):
        return message
    found = {field: value for field, value in message.items() if value not in NOTHING or field in ("role", "content")}
    calls, parts = found.get("tool_calls"), found.get("content")
    if isinstance(calls, list):
        found["tool_calls"] = [_tidy_call(call) for call in calls]
        found["content"] = "" if parts is None else parts
    if isinstance(parts, list) and all(_is_text(part) for part in parts):
        found["content"] = "".join(part["text"] for part in parts)
    if "reasoning" in found and found.get("reasoning_content", found["reasoning"]) == found["reasoning"]:
        found["reasoning_content"] = found.pop("reasoning")
    if isinstance(found.get("train"), bool):
        learned = found.pop("train")
        found["weight"] = found.get("weight", 1) if learned else 0
    counts = 1 if found.get("role") == "assistant" else 0  # the default weight is left out
    if "weight" in found and is_number(found["weight"]) and found["weight"] == counts:
        del found["weight"]
    return found


def flaw(value: Any) -> Problem | None:
    """Returns what is wrong with the strings, numbers or depth of a JSON value; None if it can be written and read again."""
    left = [(value, 0)]
    while left:
        each, depth = left.pop()
        if depth > DEEPEST:
            return Problem("lists and objects nested too deeply", f"more than {DEEPEST} levels", "remove the message")
        if isinstance(each, str):
            found = encode_text(each)
            if isinstance(found, Problem):
                return found
        elif isinstance(each, float) and not math.isfinite(each):
            return Problem("a number that JSON cannot represent", str(each), "write a finite number, or remove it")
        elif isinstance(each, dict):
            left += [(inner, depth + 1) for pair in each.items() for inner in pair]
        elif isinstance(each, list):
            left += [(inner, depth + 1) for inner in each]
    return None


def alternating(turns: Iterable[str]) -> list[dict[str, Any]]:
    """Messages of the user and the assistant in turn, the user first."""
    return [{"role": ("user", "assistant")[number % 2], "content": turn} for number, turn in enumerate(turns)]


def object_in(value: Any) -> Any:
    """The decoded value if a string holds JSON; any other value unchanged."""
    found = parse_json(value.encode(errors="surrogatepass")) if isinstance(value, str) else value
    return value if isinstance(found, Problem) else found


def _flaw_of_order(role: str, before: str, waiting: int) -> Problem | None:
    if role not in FOLLOW[before]:
        return Problem("roles in an impossible order", f"{role} after {before}", ORDER)
    if role == "tool" and waiting <= 0:
        return Problem("roles in an impossible order", f"tool after {before} without a call", ORDER)
    return None


def _flaw_of_message(message: Any) -> Problem | None:
    if not isinstance(message, dict):
        return Problem("a message that is not an object", f"found {json_kind(message)}", 'write {"role": "…", "content": "…"}')
    role, content, calls = message.get("role"), message.get("content"), message.get("tool_calls")
    if role not in ROLES:
        said = printable(role[:64]) if isinstance(role, str) else json_kind(role)
        return Problem("an unknown role", said, f"the roles are {name_list(ROLES)}")
    fields = {"role", "content", "name"} | {"assistant": {"tool_calls", *OF_REPLIES}, "tool": {"tool_call_id"}}.get(role, set())
    if role != "assistant" and "weight" in message:
        advice = "remove the weight; the model is trained only on the assistant's messages"
        return Problem("a weight on a message that is not the assistant's", role, advice)
    if others := [field for field in message if field not in fields]:
        return Problem("unknown field in a message", f"{role}: {name_list(others)}", "remove it")
    if not isinstance(content, str):
        advice = "write it as a string; only text is supported"
        return Problem("the content is not a string", f"found {json_kind(content)}", advice)
    if not content.strip() and (role == "user" or (role == "assistant" and "tool_calls" not in message)):
        return Problem(
            "an empty answer" if role == "assistant" else "an empty message of the user", advice="remove the message"
        )
    if "tool_calls" in message and not (isinstance(calls, list) and calls and all(map(_is_call, calls))):
        return Problem("a tool call that cannot be read", advice=f"write {CALL}")
    for field in ("name", "tool_call_id", "reasoning_content"):
        if not isinstance(message.get(field, ""), str):
            return Problem(f'"{field}" of a message is not a string', advice="write it as a string, or remove it")
    if not (is_number(weight := message.get("weight", 1)) and 0 <= weight <= 1):
        return Problem(
            "a weight that is not a number from 0 to 1", printable(repr(weight))[:64], "write 0, 1 or a number between"
        )
    return flaw(message)


def _is_call(call: Any) -> bool:
    if not isinstance(call, dict) or not {"type", "function"} <= set(call) <= {"type", "function", "id"}:
        return False
    function = call["function"]
    known = isinstance(function, dict) and set(function) == {"name", "arguments"} and call["type"] == "function"
    named = known and isinstance(function["name"], str) and function["name"].strip()
    return bool(named) and isinstance(function["arguments"], dict) and isinstance(call.get("id", ""), str)


def _tidy_call(call: Any) -> Any:
    if not isinstance(call, dict):
        return call
    found: dict[str, Any] = {"type": "function"} | {field: value for field, value in call.items() if value not in NOTHING}
    function = found.get("function")
    if isinstance(function, dict) and "arguments" in function:
        arguments = function["arguments"]
        found["function"] = function | {"arguments": {} if arguments in NOTHING else object_in(arguments)}
    return found


def _is_text(part: Any) -> bool:
    if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        return False
    return all(value in NOTHING for field, value in part.items() if field not in ("type", "text"))
