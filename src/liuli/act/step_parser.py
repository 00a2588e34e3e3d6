"""Reads a step of ReAct in free text, as a model writes it that no grammar holds: with lines left out, with code fences.

What comes first counts: a step with an action and a final answer after it calls the tool, because the answer was invented
before the observation. A step without either is a problem for the model to read, never an answer.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from liuli.act.agent_run import Call
from liuli.act.tools import Tools

STOP = ("\nObservation",)  # the model would invent the tool's result
ACTION = re.compile(r"^[ *#]*Action\s*\d*\s*[:：][ *`]*(?P<tool>[^\n`*]*?)[ *`]*(?:\n|$)", re.MULTILINE | re.IGNORECASE)
INPUT = re.compile(r"^[ *#]*Action Input\s*\d*\s*[:：][ *]*", re.MULTILINE | re.IGNORECASE)
FINAL = re.compile(r"^[ *#]*Final Answer\s*[:：][ *]*", re.MULTILINE | re.IGNORECASE)
THOUGHT = re.compile(r"^[ *#]*Thought\s*\d*\s*[:：][ *]*", re.IGNORECASE)
FENCE = re.compile(r"^```\w*\s*|\s*```$")
MISSING = (
    "The step could not be read. Write a line that begins with Action: and a line that begins with Action Input:, or a line "
    "that begins with Final Answer:."
)


@dataclass(frozen=True, slots=True)
class ParsedStep:
    """What was read. `problem`: what the model must do instead, if neither a call nor an answer was found; else ""."""

    thought: str
    call: Call | None = None
    answer: str | None = None
    problem: str = ""


def parse_step(text: str, tools: Tools) -> ParsedStep:
    """Reads one step."""
    action, final = ACTION.search(text), FINAL.search(text)
    if action and final and final.start() < action.start():
        action = None
    found = action or final
    thought = THOUGHT.sub("", text[: found.start()] if found else text).strip()
    if action:
        given = INPUT.search(text, action.end() - 1)
        arguments = text[given.end() : final.start() if final and final.start() > given.end() else None] if given else ""
        return ParsedStep(thought, Call(action["tool"].strip(), _arguments(arguments, action["tool"].strip(), tools)))
    if final:
        return ParsedStep(thought, answer=text[final.end() :].strip())
    return ParsedStep(thought, problem=MISSING)


def _arguments(text: str, tool: str, tools: Tools) -> dict[str, Any] | str:
    """The JSON object at the beginning of a text. A tool with one parameter also takes its plain value."""
    text = FENCE.sub("", text.strip()).strip()
    begin = text.find("{")
    if begin == 0 or (begin > 0 and tool not in tools):
        try:
            found, _ = json.JSONDecoder(strict=False).raw_decode(text[begin:])
            return found if isinstance(found, dict) else text
        except (ValueError, RecursionError):
            return text
    if tool in tools:
        parameters = list(tools.schema_of(tool).get("properties", {}))
        value = text.split("\n")[0].strip().strip("\"'")
        if len(parameters) == 1 and value:
            return {parameters[0]: value}
    return text
