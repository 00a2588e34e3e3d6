"""Statistics of dialogues, to check before training on them, from one pass over them.

In: a `DialogueSplit`. Out: how many dialogues and messages there are, how long they are, what they hold besides text, and what
was skipped and why.
"""

from array import array
from collections import Counter
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

from liuli.data.dialogues.dialogues import Dialogue
from liuli.data.dialogues.encode import REASONING
from liuli.data.records.digest_set import DigestSet
from liuli.data.records.skipped import Skipped
from liuli.data.split import DialogueSplit
from liuli.data.text.statistics import CharacterCounts, EvenSampler, Lengths, lengths_of

MESSAGES, MESSAGE_LENGTH = 4, 120  # of a sample: messages, and characters of each


@dataclass(frozen=True, slots=True)
class MessageExcerpt:
    """How a message begins. `text` is "" if it has only tool calls. `cut`: the message continues after the text."""

    role: str
    text: str
    cut: bool


@dataclass(frozen=True, slots=True)
class DialogueExcerpt:
    """The first messages of a dialogue, and how many more it has."""

    source: str
    messages: list[MessageExcerpt]
    more: int


@dataclass(frozen=True, slots=True)
class DialogueStatistics:
    """The statistics of dialogues.

    Attributes:
        dialogues: their number; `layouts`: for each file, the number of dialogues in each layout.
        roles: the number of messages of each role.
        exchanges: how many messages of the user a dialogue has.
        questions, replies: how many characters the messages of the user and of the assistant have.
        scripts: the number of characters of each script or kind in all messages, the most frequent first.
        held_out: the number of dialogues that are held out; `how`: the rule, in words.
        shared: the number of dialogues of a validation file whose first prompt is trained on too.
        repeated: the number of dialogues with the first prompt of an earlier one.
        unanswered: the number of dialogues whose last message has no answer.
        with_system, with_tools: the number of dialogues with a system message, with tools.
        calls, reasonings: the number of replies with tool calls, with a reasoning.
        weightless: the number of replies with weight 0, from which nothing is learned.
    """

    dialogues: int
    layouts: dict[str, dict[str, int]]
    roles: dict[str, int]
    exchanges: Lengths
    questions: Lengths
    replies: Lengths
    scripts: dict[str, int]
    held_out: int
    how: str
    shared: int
    repeated: int
    unanswered: int
    with_system: int
    with_tools: int
    calls: int
    reasonings: int
    weightless: int
    skipped: list[Skipped]
    samples: list[DialogueExcerpt]

    def to_json(self) -> dict[str, Any]:
        """As plain objects."""
        return asdict(self)


def dialogue_statistics(split: DialogueSplit) -> DialogueStatistics:
    """Reads dialogues once, in bounded memory (8 bytes per dialogue and per message, 16 per first prompt).

    Raises:
        LiuliError: as `Dialogues.dialogues`.
    """
    exchanges, questions, replies = array("q"), array("q"), array("q")
    characters, samples, prompts = CharacterCounts(), EvenSampler[DialogueExcerpt](), DigestSet()
    roles, counts = Counter[str](), Counter[str]()
    for held, dialogue in split.both():
        counts["held"] += held
        counts["repeated"] += prompts.add(blake2b(dialogue.first_prompt.encode(), digest_size=16).digest())
        counts["tools"] += bool(dialogue.tools)
        counts["system"] += dialogue.messages[0]["role"] == "system"
        exchanges.append(sum(message["role"] == "user" for message in dialogue.messages))
        for message in dialogue.messages:
            roles[message["role"]] += 1
            characters.add(message["content"])
            if message["role"] == "user":
                questions.append(len(message["content"]))
            elif message["role"] == "assistant":
                replies.append(len(message["content"]))
                counts["calls"] += "tool_calls" in message
                counts["reasonings"] += REASONING in message
                counts["weightless"] += message.get("weight", 1) == 0
        samples.add(_excerpt(dialogue))
    sources = [split.dialogues, split.other] if split.other else [split.dialogues]
    return DialogueStatistics(
        dialogues=len(exchanges),
        layouts={file: found for each in sources for file, found in each.layouts.items()},
        roles=dict(roles.most_common()),
        exchanges=lengths_of(exchanges),
        questions=lengths_of(questions),
        replies=lengths_of(replies),
        scripts=characters.scripts(),
        held_out=counts["held"],
        how=split.how,
        shared=split.shared,
        repeated=counts["repeated"],
        unanswered=sum(each.unanswered for each in sources),
        with_system=counts["system"],
        with_tools=counts["tools"],
        calls=counts["calls"],
        reasonings=counts["reasonings"],
        weightless=counts["weightless"],
        skipped=[skipped for each in sources for skipped in each.skipped],
        samples=samples.chosen(),
    )


def _excerpt(dialogue: Dialogue) -> DialogueExcerpt:
    texts = [(message["role"], message["content"]) for message in dialogue.messages[:MESSAGES]]
    messages = [MessageExcerpt(role, text[:MESSAGE_LENGTH], len(text) > MESSAGE_LENGTH) for role, text in texts]
    return DialogueExcerpt(dialogue.source, messages, max(0, len(dialogue.messages) - MESSAGES))
