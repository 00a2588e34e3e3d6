"""Observation: what came of one call of a tool. It is always text, whatever the tool did."""

from dataclasses import dataclass
from typing import Literal

from liuli.fields import Record

Failure = Literal[
    "unknown", "arguments", "timeout", "error", "result", "connection", "repeated", "not allowed", "form"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Observation(Record):
    """The outcome of one call.

    Attributes:
        text: what the model reads: the result, or what went wrong, in words.
        ok: whether the tool ran to its end and returned something that can be shown.
        failure: why not. "unknown": there is no tool of that name. "arguments": they are not as the schema says, and the tool
            was not run. "timeout": it was still running when its time was over. "error": it raised an exception, or said itself
            that it failed. "result": it returned what cannot be shown as text. "connection": its server ended, could not be
            started or could not be reached. "repeated": the same call was made too often. "not allowed": the user did not
            allow it. "form": the step could not be read.
        seconds: from the call until its end, the checks included.
        cut: how many characters of the result were left out, because it was longer than allowed. The text says so too.
        printed: what the tool printed, for people. The model does not read it.
    """

    text: str
    ok: bool = True
    failure: Failure | None = None
    seconds: float = 0.0
    cut: int = 0
    printed: str = ""


class ToolFailure(Exception):
    """Why a call has no result, in words that the model reads."""

    def __init__(self, kind: Failure, text: str):
        super().__init__(text)
        self.kind: Failure = kind
        self.text = text


class ToolError(ToolFailure):
    """What a tool raises when it cannot do what it was asked for: the text is all that the model reads about it."""

    def __init__(self, text: str):
        super().__init__("error", text)
