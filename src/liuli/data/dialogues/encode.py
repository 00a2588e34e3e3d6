"""Encodes a dialogue through a chat template, with the weight of each id in the training loss.

The loss mask of `liuli.tokens.chat` says which ids belong to replies. A message's `weight` is the weight of its reply's ids.
The reasoning of a message is given to templates that read it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from liuli.errors import LiuliError
from liuli.tokens.chat.chat import Chat, Encoded

REASONING = "reasoning_content"
OTHER_NAME = re.compile(r"""\.reasoning\b|(['"])reasoning\1""")  # `message.reasoning` or `message['reasoning']` in a template


class EncodedDialogue(NamedTuple):
    """An encoded dialogue.

    Attributes:
        supervised: for each id, whether the model learns to predict it: it belongs to a reply with a weight above 0.
        weights: for each id, its weight in the loss; None: 1 for all supervised ids.
        text, spans: see `Encoded`.
        unread: the number of replies with a reasoning that the template does not read.
    """

    ids: list[int]
    supervised: list[bool]
    weights: list[float] | None
    text: str
    spans: list[tuple[int, int]]
    unread: int


def encode_dialogue(chat: Chat, messages: Sequence[dict[str, Any]], tools: Sequence[Any]) -> EncodedDialogue:
    """Encodes the messages of a dialogue (see `messages.py`).

    Raises:
        LiuliError: see `Chat.dialogue`; the messages have weights, and the template does not write each reply by itself.
    """
    name = _name_of_reasoning(chat.template_for(tools))
    thoughts = sum(REASONING in message for message in messages)
    found = chat.dialogue([_for_template(message, name) for message in messages], tools)
    weights = [message.get("weight", 1) for message in messages if message["role"] == "assistant"]
    unread = thoughts if name is None else 0
    if set(weights) == {1}:
        return EncodedDialogue(found.ids, found.supervised, None, found.text, found.spans, unread)
    of_ids = _weights_of_ids(found, weights)
    supervised = [weight > 0 for weight in of_ids]
    fractions = of_ids if {*of_ids} - {0, 1} else None
    return EncodedDialogue(found.ids, supervised, fractions, found.text, found.spans, unread)


def encode_prompt(chat: Chat, messages: Sequence[dict[str, Any]], tools: Sequence[Any]) -> list[int]:
    """Encodes the messages of a dialogue (see `messages.py`) up to the beginning of the next reply.

    Raises:
        LiuliError: see `Chat.prompt`.
    """
    name = _name_of_reasoning(chat.template_for(tools))
    return chat.prompt([_for_template(message, name) for message in messages], tools)


def _name_of_reasoning(template: str) -> str | None:
    """The name by which the template reads a reply's reasoning; None if it does not read it."""
    if REASONING in template:
        return REASONING
    return "reasoning" if OTHER_NAME.search(template) else None


def _for_template(message: dict[str, Any], reasoning: str | None) -> dict[str, Any]:
    """The message for the template: without its weight, and with its reasoning under the name that the template reads."""
    found = {field: value for field, value in message.items() if field not in ("weight", REASONING)}
    if reasoning is not None and REASONING in message:
        found[reasoning] = message[REASONING]
    return found


def _weights_of_ids(found: Encoded, weights: Sequence[float]) -> list[float]:
    """For each id, the weight of its reply; 0 outside of replies."""
    replies = list(_replies(found.supervised))
    if len(replies) != len(weights):
        raise LiuliError(
            f"the weights of the messages cannot be applied: the chat template writes {len(weights)} replies as "
            f"{len(replies)}; give all of them the same weight, or use another template"
        )
    of_ids = [0.0] * len(found.ids)
    for (start, end), weight in zip(replies, weights, strict=True):
        of_ids[start:end] = [weight] * (end - start)
    return of_ids


def _replies(supervised: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """The half-open range of ids of each reply. Supervised ids without a gap are one reply, since the template writes at least
    one token between two replies."""
    start = None
    for i, learned in enumerate([*supervised, False]):
        if learned and start is None:
            start = i
        elif not learned and start is not None:
            yield start, i
            start = None
