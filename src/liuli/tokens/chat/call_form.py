"""How a chat template writes a tool call: found by rendering a call with known names and looking around them."""

import re
from dataclasses import dataclass
from typing import Any

from liuli.errors import LiuliError
from liuli.tokens.chat.chat import Chat

TEXT, NAME, PARAMETER, VALUE = "Qtext", "qname", "qparameter", "qvalue"
ARGUMENTS = re.compile(rf'\{{\s*"{PARAMETER}"\s*:\s*"{VALUE}"\s*\}}')
TOOL = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "a",
        "parameters": {"type": "object", "properties": {PARAMETER: {"type": "string"}}, "required": [PARAMETER]},
    },
}


@dataclass(frozen=True, slots=True)
class CallForm:
    """What a template writes around the name and the arguments of a call, which is JSON.

    Attributes:
        first: before the name, if the reply begins with the call. later: the same after a text.
        between: from the name to the arguments. after: from the arguments to the token that ends the reply.
    """

    first: str
    later: str
    between: str
    after: str


def call_form(chat: Chat) -> CallForm | None:
    """Returns the form of the template; None if it writes no calls, or writes them in such a way that a name and a JSON object
    cannot be found in them."""
    alone, behind = _written(chat, ""), _written(chat, TEXT)
    if alone is None or behind is None or not behind[0].startswith(TEXT) or alone[1:] != behind[1:]:
        return None
    return CallForm(alone[0], behind[0].removeprefix(TEXT), alone[1], alone[2])


def _written(chat: Chat, text: str) -> tuple[str, str, str] | None:
    """The reply before the name, between name and arguments, and after the arguments."""
    function: dict[str, Any] = {"name": NAME, "arguments": {PARAMETER: VALUE}}
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": text, "tool_calls": [{"type": "function", "function": function}]},
    ]
    try:
        ids, supervised = chat.dialogue(messages, [TOOL])[:2]
    except LiuliError:  # the template refuses tools
        return None
    reply = [token_id for token_id, each in zip(ids, supervised, strict=True) if each and token_id != chat.stop]
    written = chat.tokenizer.decode(reply, special=True)
    arguments = ARGUMENTS.search(written)
    if arguments is None or written.count(NAME) != 1 or written.index(NAME) > arguments.start():
        return None
    before, between = written[: arguments.start()].split(NAME)
    return before, between, written[arguments.end() :]
