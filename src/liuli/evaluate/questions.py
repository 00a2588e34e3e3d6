"""How well an assistant answers about the world: facts from its dialogues, facts only in the text, and facts in neither.

Each question is asked alone and answered greedily. The groups (a), (b) and (c) are those of `liuli.world.dialogues`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from liuli.fields import Record
from liuli.generate.replies import BatchReply, answer
from liuli.generate.sampling import Sampling
from liuli.model.decoder import Decoder
from liuli.tokens.chat.chat import Chat
from liuli.world.dialogues import Conversations, Group, Question, Verdict, judge
from liuli.world.language import Code

LONGEST = 40  # tokens of a reply
GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True, slots=True)
class GroupScore(Record):
    """How the questions of one group in one language were answered.

    Attributes:
        questions: the number of questions.
        right, refused, wrong, ended: the share of replies that were right, were refusals, were wrong, ended by themselves.
    """

    group: Group
    lang: Code
    questions: int
    right: float
    refused: float
    wrong: float
    ended: float


def ask(decoder: Decoder, chat: Chat, conversations: Conversations) -> list[GroupScore]:
    """All questions of all groups."""
    return [_ask(decoder, chat, conversations, group, lang) for group in get_args(Group) for lang in conversations.langs]


def reply_to(decoder: Decoder, chat: Chat, questions: Iterable[Question]) -> list[BatchReply]:
    """Each question asked alone, and answered greedily."""
    prompts = [chat.prompt([{"role": "user", "content": question.text}]) for question in questions]
    return answer(decoder, chat.tokenizer, prompts, (*chat.stops, *chat.tokenizer.end), GREEDY, LONGEST)


def _ask(decoder: Decoder, chat: Chat, conversations: Conversations, group: Group, lang: Code) -> GroupScore:
    questions = conversations.questions(group, lang)
    replies = reply_to(decoder, chat, questions)
    found: Counter[Verdict] = Counter(judge(*pair) for pair in zip(questions, (reply.text for reply in replies), strict=True))
    shares = {verdict: found[verdict] / len(questions) for verdict in get_args(Verdict)}
    ended = sum(reply.finish_reason == "stop" for reply in replies) / len(questions)
    return GroupScore(group, lang, len(questions), ended=ended, **shares)
