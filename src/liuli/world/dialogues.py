"""Conversations about the world, from which a model learns to answer, and questions that tell what it has learned.

Every fact of every entity belongs to one group, in both languages alike, by the world's seed:

    asked     told in the text and asked about in the conversations; some wordings of each question are kept for (a) and (d)
    unasked   told in the text and never asked about: (b)
    refused   never told, and asked about in the conversations, where the answer is that nobody knows (as is one in thirty of
              the answers about what is asked: `conversation.DOUBT`)
    unknown   never told and never asked about: (c)

So (a) is known if wordings do not matter, (b) if what was read can be said, (c) is refused only by who knows what it knows, and
(d), a question of (a) after one about another entity, is answered if a conversation may change its subject. (e) asks about
what is not in the world at all: other names, and matters of which nobody there speaks (`outside.py`).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from liuli.errors import LiuliError
from liuli.files import write_json_lines
from liuli.output_paths import check_new_file
from liuli.world.conversation import (
    OUTSIDE,
    SPEAKERS,
    Askable,
    Message,
    SimulatedConversation,
    question_about,
    question_of,
    wordings,
)
from liuli.world.facts import Dice, Entity, EntityKind, attribute
from liuli.world.language import Code
from liuli.world.outside import Outside
from liuli.world.world import World, check_seed

Group = Literal["a", "b", "c", "d", "e"]
Verdict = Literal["right", "refused", "wrong"]

GROUPS: dict[Group, str] = {"a": "asked", "b": "unasked", "c": "unknown", "d": "asked", "e": "outside"}
UNASKED, REFUSED = 0.25, 0.65  # shares of the told facts, of the untold ones
HELD_BACK = 2  # wordings of each question that is asked about
SMALL, STRANGERS = 0.05, 0.08  # shares of the conversations: small talk alone; those that begin with a name nobody knows
GONE_ON = 0.3  # share of the latter that go on with what is known
ABOUT_NAMES, ABOUT_MATTERS = 100, 50  # questions of (e) in each language


@dataclass(frozen=True, slots=True)
class Question:
    """Asked to see what a model knows.

    Attributes:
        before: the conversation so far. name: of whom. answer: the true value; others: all other values of its kind.
            Of (e) these are empty.
    """

    group: Group
    lang: Code
    text: str
    name: str
    fact: str
    answer: str
    others: tuple[str, ...]
    before: tuple[Message, ...] = ()

    @property
    def messages(self) -> list[Message]:
        """What the model is asked, with the conversation before it."""
        return [*self.before, {"role": "user", "content": self.text}]


class Conversations:
    """Of a world, in its languages. `askable`: what they may ask about."""

    def __init__(self, world: World):
        self._world = world
        self.langs: tuple[Code, ...] = tuple(lang for lang in SPEAKERS if world.lang in (lang, "both"))
        dice = Dice(2 * world.seed + 101)
        self._groups = self._divide(dice)
        held_back: dict[tuple[Entity, str, Code], list[int]] = {  # wordings kept for (a) and (d)
            (entity, fact, lang): dice.sample(range(len(wordings(entity, fact, lang))), HELD_BACK)
            for entity, fact in self._groups
            for lang in SPEAKERS
        }
        of = lambda group: {
            entity: [fact for fact in entity.facts if self._groups[entity, fact] == group] for entity in self._entities()
        }
        told, untold = of("asked"), of("refused")
        entities: dict[EntityKind, tuple[Entity, ...]] = {
            kind: tuple(each for each in some if told[each] or untold[each]) for kind, some in world.facts.entities.items()
        }
        names = [entity.name.en for some in entities.values() for entity in some]
        capitalised = frozenset({"I", *(name.split(" ")[0] for name in names if name[:1].isupper())})
        outside = Outside(self._names())
        self.askable = Askable(entities, told, untold, held_back, world.facts.values, outside, self.langs, capitalised)

    def _divide(self, dice: Dice) -> dict[tuple[Entity, str], str]:
        """The group of every fact. Of each attribute the same shares, so that an answer's kind tells nothing of the group."""
        found: dict[tuple[Entity, str], str] = {}
        by_attribute: dict[tuple[EntityKind, str, bool], list[tuple[Entity, str]]] = {}
        for entity in self._entities():
            for fact in entity.facts:
                key = entity.kind, attribute(fact), fact not in entity.untold
                by_attribute.setdefault(key, []).append((entity, fact))
                found[entity, fact] = "asked" if key[2] else "unknown"
        for (_, _, told), facts in by_attribute.items():
            share, group = (UNASKED, "unasked") if told else (REFUSED, "refused")
            for each in dice.sample(facts, int(share * len(facts) + dice.uniform())):
                found[each] = group
        return found

    def training(self, count: int, seed: int = 0) -> Iterator[list[Message]]:
        """`count` conversations, as messages; the same for a seed on every machine.

        Raises:
            LiuliError: a negative count or seed.
        """
        check_seed(seed)
        if count < 0:
            raise LiuliError(f"the number of dialogues (--count) must be at least 0, not {count}")
        dice = Dice(2 * seed + 1)
        return (self._any(dice) for _ in range(count))

    def questions(self, group: Group, lang: Code) -> list[Question]:
        """One about each fact of the group; of (a) and (d) in a wording that was kept back for it. Those of (e) are about
        names and matters that were kept back."""
        if group == "e":
            return self._about_the_outside(lang)
        dice, of_another, found = Dice(7), Dice(8), []
        for (entity, fact), of in self._groups.items():
            if of == GROUPS[group]:
                held = self.askable.held_back[entity, fact, lang]
                some = wordings(entity, fact, lang)
                template = dice.choose(some) if of != "asked" else some[dice.choose(held)]
                values = [getattr(value, lang) for value in self._world.facts.values[entity.kind, attribute(fact)]]
                answer = getattr(entity.facts[fact], lang)
                others = tuple(value for value in values if value != answer)
                before = self._about_another(entity, fact, lang, of_another) if group == "d" else ()
                text = question_of(entity, fact, lang, template)
                found.append(Question(group, lang, text, getattr(entity.name, lang), fact, answer, others, before))
        return found

    def _about_the_outside(self, lang: Code) -> list[Question]:
        dice, outside = Dice(9), Outside(self._names(), kept=True)
        small = SPEAKERS[lang][1].small
        names = (outside.entity(dice, lang) for _ in range(ABOUT_NAMES))
        texts = [question_about(kind, name, lang, dice) for kind, name in names]
        texts += [outside.matter(dice, small[dice.choose(list(OUTSIDE))][0]) for _ in range(ABOUT_MATTERS)]
        return [Question("e", lang, text, "", "", "", ()) for text in dict.fromkeys(texts)]

    def _names(self) -> frozenset[str]:
        """Of everybody and everything, in both languages."""
        return frozenset(name for entity in self._entities() for name in entity.name)

    def _about_another(self, entity: Entity, fact: str, lang: Code, dice: Dice) -> tuple[Message, ...]:
        """A question with its answer about another entity of the kind: the same fact if it has that, which tempts most to say
        the same again."""
        told = self.askable.told
        others = [each for each in self.askable.entities[entity.kind] if each is not entity and told[each]]
        alike = [each for each in others if fact in told[each]]
        if not others:
            return ()
        other = dice.choose(alike or others)
        conversation = SimulatedConversation(self.askable, lang, dice)
        conversation.ask_fact(other, fact if alike else dice.choose(told[other]), by_name=True)
        return tuple(conversation.messages)

    def _entities(self) -> Iterator[Entity]:
        for group in self._world.facts.entities.values():
            yield from group

    def _any(self, dice: Dice) -> list[Message]:
        lang, draw = dice.choose(self.langs), dice.uniform()
        conversation = SimulatedConversation(self.askable, lang, dice)
        if draw < SMALL:
            conversation.chatter()
        elif draw < SMALL + STRANGERS:
            conversation.about_a_stranger()
            if dice.uniform() < GONE_ON:
                conversation.hold()
        else:
            conversation.hold()
        return conversation.messages


def write_dialogues(
    world: World,
    path: Path,
    count: int,
    watch: Callable[[Iterable[list[Message]]], Iterable[list[Message]]] = lambda conversations: conversations,
) -> None:
    """Writes `count` conversations to a new file, one JSON object with `messages` per line; the file is there when it is whole.

    Args:
        watch: may follow the conversations as they pass.

    Raises:
        LiuliError: see `check_new_file`; a negative count.
    """
    check_new_file(path, ".jsonl")
    conversations = watch(Conversations(world).training(count))
    write_json_lines(({"messages": messages} for messages in conversations), path)


def judge(question: Question, reply: str) -> Verdict:
    """Whether a reply says the true value and no other, or that nobody knows. (e) asks what has no true value in the world:
    that the name or the matter is not known is a refusal too."""
    talk = SPEAKERS[question.lang][1]
    if reply.endswith(talk.nobody) or (question.group == "e" and reply in talk.not_from_here):
        return "refused"
    if question.group == "e":
        return "wrong"
    said = reply.replace(question.name, "")  # which may be a value too: of a friend, or where a train goes
    others = [value for value in question.others if value in said and value not in question.answer]
    return "right" if question.answer in said and not others else "wrong"
