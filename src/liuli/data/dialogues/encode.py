"""A dialogue as ids, as a chat template writes it, with how much each id counts in training.

The template's own loss mask (`liuli.tokens.chat`) says which ids belong to replies. A message's `weight` changes how much those
of its reply count; what the assistant thought before it answered goes to the templates that read it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from liuli.errors import LiuliError
from liuli.tokens.chat.chat import Chat, Encoded

REASONING = "reasoning_content"
OTHER_NAME = re.compile(r"""\.reasoning\b|(['"])reasoning\1""")  # `message.reasoning` or `message['reasoning']` in a template


class EncodedDialogue(NamedTuple):
    """`supervised[i]`: whether ids[i] is to be predicted, because it belongs to a reply that counts. `weights[i]`: how much it
    counts; None: all count 1. `unread`: how many replies have a reasoning that the template does not read. `text`, `spans`: see
    `Encoded`."""

    ids: list[int]
    supervised: list[bool]
    weights: list[float] | None
    text: str
    spans: list[tuple[int, int]]
    unread: int


def encode_dialogue(chat: Chat, messages: Sequence[dict[str, Any]], tools: Sequence[Any]) -> EncodedDialogue:
    """The messages of a dialogue (see `messages.py`) in ids. Raises LiuliError: what `Chat.dialogue` raises."""
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


def _name_of_reasoning(template: str) -> str | None:
    """What the template calls a reply's reasoning; None if it does not read it."""
    if REASONING in template:
        return REASONING
    return "reasoning" if OTHER_NAME.search(template) else None


def _for_template(message: dict[str, Any], reasoning: str | None) -> dict[str, Any]:
    """A message without what is for training alone, its reasoning by the name that the template has for it."""
    found = {field: value for field, value in message.items() if field not in ("weight", REASONING)}
    if reasoning is not None and REASONING in message:
        found[reasoning] = message[REASONING]
    return found


def _weights_of_ids(found: Encoded, weights: Sequence[float]) -> list[float]:
    """Of each id the weight of the reply that it belongs to; 0 if it belongs to none."""
    replies = list(_replies(found.supervised))
    if len(replies) != len(weights):
        raise LiuliError(
            f"the weights of the messages cannot be followed: the chat template writes {len(weights)} replies as {len(replies)}"
        )
    of_ids = [0.0] * len(found.ids)
    for (start, end), weight in zip(replies, weights, strict=True):
        of_ids[start:end] = [weight] * (end - start)
    return of_ids


def _replies(supervised: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """The half-open ranges of ids that are supervised: each is one reply, since the template writes something between two."""
    start = None
    for i, learned in enumerate([*supervised, False]):
        if learned and start is None:
            start = i
        elif not learned and start is not None:
            yield start, i
            start = None
