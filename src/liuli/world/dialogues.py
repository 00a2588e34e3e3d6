"""Conversations about the world, from which a model learns to answer, and questions that tell what it has learned.

Every fact of every entity belongs to one group, in both languages alike, by the world's seed:

    asked     told in the text and asked about in the conversations; some wordings of each question are kept for (a)
    unasked   told in the text and never asked about by name: (b)
    refused   never told, and asked about in the conversations, where the answer is that nobody knows (as is one in fifty of
              the answers about what is asked: `DOUBT`)
    unknown   never told and never asked about: (c)

So (a) is known if wordings do not matter, (b) if what was read can be said, and (c) is refused only by who knows what it knows.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from liuli.errors import LiuliError
from liuli.files import write_json_lines
from liuli.world import lexicon
from liuli.world.en import ENGLISH
from liuli.world.facts import FACTS, Dice, Entity, EntityKind, attribute
from liuli.world.language import Code, Language, fill
from liuli.world.lexicon import Term
from liuli.world.talk import Talk
from liuli.world.talk_en import TALK as TALK_EN
from liuli.world.talk_zh import TALK as TALK_ZH
from liuli.world.world import World, check_seed
from liuli.world.zh import CHINESE

Group = Literal["a", "b", "c"]
Verdict = Literal["right", "refused", "wrong"]
Message = dict[str, Any]

SPEAKERS: dict[Code, tuple[Language, Talk]] = {"zh": (CHINESE, TALK_ZH), "en": (ENGLISH, TALK_EN)}
GROUPS: dict[Group, str] = {"a": "asked", "b": "unasked", "c": "unknown"}
UNASKED, REFUSED = 0.25, 0.65  # shares of the told facts, of the untold ones
HELD_BACK = 2  # wordings of each question that is asked about
KINDS: dict[EntityKind, int] = {"person": 60, "town": 15, "animal": 7, "shop": 9, "festival": 9}  # of 100 conversations
SMALL, STRANGERS = 0.06, 0.05  # shares of the conversations: small talk alone; questions about people whom nobody knows
TURNS = (55, 30, 15)  # of 100 others: how many have one, two, three questions
NOBODY_KNOWS = 0.5  # share of the questions about what was never told, where there is such a thing
# Share of the answers about what was told that say all the same that nobody knows. Who is never in doubt of what it was taught
# learns by heart where to doubt, and so does not doubt elsewhere: with this, far more of (c) is refused (docs/lab-log.md).
DOUBT = 0.02


@dataclass(frozen=True, slots=True)
class Question:
    """Asked to see what a model knows. `name`: of whom. `answer`: the true value; `others`: all other values of its kind."""

    group: Group
    lang: Code
    text: str
    name: str
    fact: str
    answer: str
    others: tuple[str, ...]


class Conversations:
    """Of a world, in its languages."""

    def __init__(self, world: World):
        self._world = world
        self.langs: tuple[Code, ...] = tuple(lang for lang in SPEAKERS if world.lang in (lang, "both"))
        dice = Dice(2 * world.seed + 101)
        self._groups = self._divide(dice)
        self._held_back: dict[tuple[Entity, str, Code], list[int]] = {  # wordings kept for (a)
            (entity, fact, lang): dice.sample(range(len(_wordings(entity, fact, lang))), HELD_BACK)
            for entity, fact in self._groups
            for lang in SPEAKERS
        }
        of = lambda group: {
            entity: [fact for fact in entity.facts if self._groups[entity, fact] == group] for entity in self._entities()
        }
        self._asked, self._refused = of("asked"), of("refused")
        known = {entity.name for entity in world.facts.entities["person"]}
        self._strangers = [name for name in lexicon.full_names() if name not in known]

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
        """One about each fact of the group; of (a) in a wording that was kept back for it."""
        dice, found = Dice(7), []
        for (entity, fact), of in self._groups.items():
            if of == GROUPS[group]:
                held = self._held_back[entity, fact, lang]
                wordings = _wordings(entity, fact, lang)
                template = wordings[dice.choose(held)] if group == "a" else dice.choose(wordings)
                values = [getattr(value, lang) for value in self._world.facts.values[entity.kind, attribute(fact)]]
                answer = getattr(entity.facts[fact], lang)
                text = SPEAKERS[lang][1].ask_of(getattr(entity.name, lang), template, _item(fact, lang))
                others = tuple(value for value in values if value != answer)
                found.append(Question(group, lang, text, getattr(entity.name, lang), fact, answer, others))
        return found

    def _entities(self) -> Iterator[Entity]:
        for group in self._world.facts.entities.values():
            yield from group

    def _any(self, dice: Dice) -> list[Message]:
        lang, draw = dice.choose(self.langs), dice.uniform()
        if draw < SMALL:
            return self._small(lang, dice)
        if draw < SMALL + STRANGERS and self._strangers:
            return self._about_a_stranger(lang, dice)
        return self._conversation(lang, dice)

    def _conversation(self, lang: Code, dice: Dice) -> list[Message]:
        """Questions about one entity; by its name first, then by a pronoun."""
        entity, messages, asked = self._entity(dice), list[Message](), set[str]()
        for _ in range(1 + dice.weighted(range(3), TURNS)):
            fact = self._fact(entity, asked, dice)
            if fact is not None:
                messages += self._exchange(entity, fact, lang, bool(asked), dice)
                asked.add(fact)
        return messages

    def _entity(self, dice: Dice) -> Entity:
        """One that there is something to ask about."""
        kind = dice.weighted(list(KINDS), list(KINDS.values()))
        entities = self._world.facts.entities[kind]
        return dice.choose([each for each in entities if self._asked[each] or self._refused[each]])

    def _fact(self, entity: Entity, but: Collection[str], dice: Dice) -> str | None:
        """One to ask about that was not asked about yet."""
        known, refused = ([fact for fact in group[entity] if fact not in but] for group in (self._asked, self._refused))
        draw = dice.uniform()
        facts = refused if refused and (draw < NOBODY_KNOWS or not known) else known
        return dice.choose(facts) if facts else None

    def _exchange(self, entity: Entity, fact: str, lang: Code, again: bool, dice: Dice) -> list[Message]:
        talk, template = SPEAKERS[lang][1], self._wording(entity, fact, lang, dice)
        if again:
            pronoun = entity.kind if entity.kind in talk.pronouns else entity.pronoun
            asked = talk.ask_again(pronoun, template, _item(fact, lang))
            asked = dice.choose(talk.again).replace("{lower}", asked[:1].lower() + asked[1:]).replace("{}", asked)
        else:
            asked = talk.ask_of(getattr(entity.name, lang), template, _item(fact, lang))
        reply = self._reply(entity, fact, lang, dice)
        return _exchange(asked, reply)

    def _about_a_stranger(self, lang: Code, dice: Dice) -> list[Message]:
        """Nobody knows anything of somebody who is not there."""
        talk, name, topic = SPEAKERS[lang][1], getattr(dice.choose(self._strangers), lang), dice.choose(FACTS["person"])
        asked = talk.ask_of(name, dice.choose(talk.questions["person"][topic]), "")
        return _exchange(asked, _nobody_knows("person", name, topic, lang, dice))

    def _wording(self, entity: Entity, fact: str, lang: Code, dice: Dice) -> str:
        """A question that is not kept for (a)."""
        held = self._held_back[entity, fact, lang]
        return dice.choose([each for i, each in enumerate(_wordings(entity, fact, lang)) if i not in held])

    def _reply(self, entity: Entity, fact: str, lang: Code, dice: Dice) -> str:
        """The fact as the text tells it, or, where it never does, and in case of `DOUBT`, that nobody knows."""
        name, doubted = getattr(entity.name, lang), dice.uniform() < DOUBT
        if fact in entity.untold or doubted:
            return _nobody_knows(entity.kind, name, fact, lang, dice)
        value, stop = getattr(entity.facts[fact], lang), SPEAKERS[lang][0].stop.rstrip()
        return name + _sentence(entity.kind, fact, lang, dice).replace("{}", value) + stop

    def _small(self, lang: Code, dice: Dice) -> list[Message]:
        said, replies = dice.choose(SPEAKERS[lang][1].small)
        return _exchange(dice.choose(said), dice.choose(replies))


def _exchange(asked: str, reply: str) -> list[Message]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": reply}]


def _sentence(kind: EntityKind, fact: str, lang: Code, dice: Dice) -> str:
    """One of the text's wordings that an answer may have, behind a name; `{}` is the value."""
    language, talk = SPEAKERS[lang]
    topic = attribute(fact)
    phrases = language.phrases["price" if topic == "price" else kind][topic]
    template = dice.choose(talk.wordings(kind, topic, phrases)).replace("{item}", _item(fact, lang))
    filled = fill(template, language, "name", "he" if kind == "person" else kind)  # behind a name the pronoun does not matter
    assert filled is not None
    return filled


def _nobody_knows(kind: EntityKind, name: str, fact: str, lang: Code, dice: Dice) -> str:
    talk = SPEAKERS[lang][1]
    value = talk.unknown[kind][attribute(fact)]
    return name + _sentence(kind, fact, lang, dice).replace("{}", value) + dice.choose(talk.nobody)


def write_dialogues(
    world: World,
    path: Path,
    count: int,
    watch: Callable[[Iterable[list[Message]]], Iterable[list[Message]]] = lambda conversations: conversations,
) -> None:
    """Writes `count` conversations, one JSON object with `messages` per line; the file is there when it is whole.

    Args:
        watch: may follow the conversations as they pass.

    Raises:
        LiuliError: it cannot be written; a negative count.
    """
    conversations = watch(Conversations(world).training(count))
    write_json_lines(({"messages": messages} for messages in conversations), path)


def judge(question: Question, reply: str) -> Verdict:
    """Whether a reply says the true value and no other, or that nobody knows."""
    if reply.endswith(SPEAKERS[question.lang][1].nobody):
        return "refused"
    said = reply.replace(question.name, "")  # which may be a value too: of a friend, or where a train goes
    others = [value for value in question.others if value in said and value not in question.answer]
    return "right" if question.answer in said and not others else "wrong"


def _wordings(entity: Entity, fact: str, lang: Code) -> tuple[str, ...]:
    return SPEAKERS[lang][1].questions[entity.kind][attribute(fact)]


def _item(fact: str, lang: Code) -> str:
    """The thing whose price is asked, or ""."""
    found: Term | None = next((good for good in lexicon.GOODS if fact == f"price of {good.en}"), None)
    return getattr(found, lang) if found else ""
