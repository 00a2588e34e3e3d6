"""How well an assistant predicts the replies in dialogues, and how often it gives exactly the last reply.

The loss is the validation loss of fine-tuning: a dialogue is rendered by the chat template, and each supervised token (of a
reply, and the token that ends it) is predicted from everything before it in the dialogue.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from liuli.data.dialogues.dialogues import Dialogue
from liuli.data.dialogues.encode import REASONING, encode_prompt
from liuli.data.packing.dialogue_pieces import Cuts, pieces_of_dialogues
from liuli.data.packing.pieces import Piece
from liuli.errors import LiuliError
from liuli.evaluate.loss import Evaluation, measure, watched_rows
from liuli.fields import Record
from liuli.generate.replies import answer
from liuli.generate.sampling import Sampling
from liuli.model.decoder import Decoder
from liuli.tokens.chat.chat import Chat
from liuli.watch import Watch, unwatched

GREEDY = Sampling(temperature=0.0)
MORE = 16  # tokens that a generated reply may have in addition to those of the dialogue's reply


@dataclass(frozen=True, slots=True)
class DialogueEvaluation(Record):
    """The loss on the replies of dialogues.

    Attributes:
        loss: over the supervised tokens.
        dialogues: the number of dialogues of which at least one reply was predicted.
        replies: the number of replies that were predicted.
    """

    loss: Evaluation
    dialogues: int
    replies: int

    @property
    def nats_per_reply(self) -> float:
        return self.loss.nats / self.replies

    def to_json(self) -> dict[str, Any]:
        counts = {"dialogues": self.dialogues, "replies": self.replies, "nats_per_reply": self.nats_per_reply}
        return self.loss.to_json() | counts


@dataclass(frozen=True, slots=True)
class ExactReplies(Record):
    """How often greedy decoding gives the last reply of a dialogue.

    Attributes:
        asked: the number of dialogues whose last reply was generated.
        exact: the number of these whose reply ended by itself and is the same text, except for white space at both ends.
        left_out: the number of dialogues whose last reply was not generated, by reason.
    """

    asked: int
    exact: int
    left_out: dict[str, int]

    @property
    def share(self) -> float:
        return self.exact / self.asked

    def to_json(self) -> dict[str, Any]:
        return Record.to_json(self) | {"share": self.share}


def evaluate_dialogues(
    decoder: Decoder,
    chat: Chat,
    dialogues: Iterable[Dialogue],
    length: int,
    cuts: Cuts,
    strict: bool = False,
    watch: Watch = unwatched,
) -> DialogueEvaluation:
    """Measures on the replies of all of `dialogues`, in rows of `length` tokens.

    Args:
        cuts: records which dialogues are longer than a row and were split or shortened.
        watch: see `watched_rows`.

    Raises:
        LiuliError: no reply can be predicted; what `pieces_of_dialogues` raises.
    """
    replies = 0

    def counted() -> Iterator[Piece]:
        nonlocal replies
        for piece in pieces_of_dialogues(dialogues, chat, length, cuts, strict):
            replies += _replies_in(piece)
            yield piece

    pieces = counted()
    first = next(pieces, None)
    if first is None:
        raise LiuliError(f"no reply fits into {length} tokens together with its question; give a larger --length")
    loss = measure(decoder, chat.tokenizer, watched_rows(chain([first], pieces), length, watch), length)
    return DialogueEvaluation(loss, cuts.dialogues - cuts.refused.total(), replies)


def _replies_in(piece: Piece) -> int:
    """The number of replies: ranges of supervised ids. The template writes at least one other token between two replies."""
    assert piece.supervised is not None
    return int(piece.supervised[0]) + int(np.count_nonzero(piece.supervised[1:] & ~piece.supervised[:-1]))


def exact_replies(decoder: Decoder, chat: Chat, dialogues: Iterable[Dialogue], watch: Watch = unwatched) -> ExactReplies:
    """Generates the last reply of each dialogue greedily from the messages before it, and compares the texts.

    Args:
        watch: is called with the number of replies that have ended, and the number of all.

    Raises:
        LiuliError: there is no dialogue whose last reply can be generated.
    """
    prompts: list[list[int]] = []
    replies: list[str] = []
    limits: list[int] = []
    left_out = Counter[str]()
    for dialogue in dialogues:
        why, ids = _not_asked(dialogue), list[int]()
        try:
            if not why:
                ids = encode_prompt(chat, dialogue.messages[:-1], dialogue.tools)
        except LiuliError as error:
            why = str(error)
        if why:
            left_out[why] += 1
            continue
        text = dialogue.messages[-1]["content"].strip()
        room, needed = decoder.config.context - len(ids), len(chat.tokenizer.encode(text)) + 1
        if needed > room:
            left_out[f"the reply and its prompt do not fit the model's context of {decoder.config.context} tokens"] += 1
            continue
        prompts.append(ids)
        replies.append(text)
        limits.append(min(room, needed + MORE))
        watch("encoding prompts", len(prompts), 0)
    if not prompts:
        why = ", and ".join(f"{count:,} × {reason}" for reason, count in left_out.items())
        raise LiuliError(f"there is no last reply to generate: {why}; leave out --exact")
    found = answer(decoder, chat.tokenizer, prompts, (*chat.stops, *chat.tokenizer.end), GREEDY, limits, watch=watch)
    pairs = zip(found, replies, strict=True)
    exact = sum(reply.finish_reason == "stop" and reply.text.strip() == text for reply, text in pairs)
    return ExactReplies(len(prompts), exact, dict(left_out))


def _not_asked(dialogue: Dialogue) -> str:
    """Why the last reply of a dialogue is not generated; "" if it is."""
    last = dialogue.messages[-1]
    if not dialogue.answered:
        return "the last message is not a reply"
    if last.get("weight", 1) == 0:
        return "the last reply has weight 0"
    if last.get("tool_calls") or REASONING in last:
        return "the last reply has tool calls or a reasoning, which are not compared"
    return ""
