"""Conversations about the world, from which a model learns to answer, and questions that tell what it has learned.

Every fact of every entity belongs to one group, in both languages alike, by the world's seed:

    asked     told in the text and asked about in the conversations; some wordings of each question are kept for (a)
    unasked   told in the text and never asked about: (b)
    refused   never told, and asked about in the conversations, where the answer is that nobody knows
    unknown   never told and never asked about: (c)

So (a) is known if wordings do not matter, (b) if what was read can be said, and (c) is refused only by who knows what it knows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from liuli.data.world import lexicon
from liuli.data.world.en import ENGLISH
from liuli.data.world.facts import Dice, Entity, EntityKind, attribute
from liuli.data.world.language import Code, Language, fill
from liuli.data.world.lexicon import Term
from liuli.data.world.talk import Talk
from liuli.data.world.talk_en import TALK as TALK_EN
from liuli.data.world.talk_zh import TALK as TALK_ZH
from liuli.data.world.world import World, check_seed
from liuli.data.world.zh import CHINESE

Group = Literal["a", "b", "c"]
Verdict = Literal["right", "refused", "wrong"]
Message = dict[str, Any]

SPEAKERS: dict[Code, tuple[Language, Talk]] = {"zh": (CHINESE, TALK_ZH), "en": (ENGLISH, TALK_EN)}
UNASKED, REFUSED = 0.25, 0.5  # shares of the told facts, of the untold ones
HELD_BACK = 2  # wordings of each question that is asked about
KINDS: dict[EntityKind, int] = {"person": 60, "town": 15, "animal": 7, "shop": 9, "festival": 9}  # of 100 conversations
SMALL, TURNS = 0.08, (55, 30, 15)  # share of small talk alone; of conversations with one, two, three questions
NOBODY_KNOWS = 0.2  # share of the questions about what was never told


@dataclass(frozen=True, slots=True)
class Question:
    """Asked to see what a model knows. `answer`: the true value; `others`: all other values of its kind."""

    group: Group
    lang: Code
    text: str
    entity: str
    fact: str
    answer: str
    others: tuple[str, ...]


class Conversations:
    """Of a world, in its languages."""

    def __init__(self, world: World):
        self._world = world
        self._langs: tuple[Code, ...] = tuple(lang for lang in SPEAKERS if world.lang in (lang, "both"))
        dice = Dice(2 * world.seed + 101)
        self._asked: dict[Entity, list[str]] = {}
        self._refused: dict[Entity, list[str]] = {}
        self._groups: dict[tuple[Entity, str], Group | Literal["refused"]] = {}
        self._held_back: dict[tuple[Entity, str, Code], list[int]] = {}  # wordings kept for (a)
        for entity in self._entities():
            for fact in entity.facts:
                told = fact not in entity.untold
                draw = dice.uniform()
                self._groups[entity, fact] = (
                    ("b" if draw < UNASKED else "a") if told else ("refused" if draw < REFUSED else "c")
                )
                for lang in SPEAKERS:
                    count = len(_wordings(entity, fact, lang))
                    self._held_back[entity, fact, lang] = dice.sample(range(count), HELD_BACK)
            self._asked[entity] = [fact for fact in entity.facts if self._groups[entity, fact] == "a"]
            self._refused[entity] = [fact for fact in entity.facts if self._groups[entity, fact] == "refused"]

    def training(self, count: int, seed: int = 0) -> Iterator[list[Message]]:
        """`count` conversations, as messages; the same for a seed on every machine.

        Raises:
            LiuliError: a negative seed.
        """
        check_seed(seed)
        dice = Dice(2 * seed + 1)
        for _ in range(count):
            lang = dice.choose(self._langs)
            yield self._small(lang, dice) if dice.uniform() < SMALL else self._conversation(lang, dice)

    def questions(self, group: Group, lang: Code) -> list[Question]:
        """One about each fact of the group; of (a) in a wording that was kept back for it."""
        dice, found = Dice(7), []
        for (entity, fact), of in self._groups.items():
            if of == group:
                held = self._held_back[entity, fact, lang]
                wordings = _wordings(entity, fact, lang)
                template = wordings[dice.choose(held)] if group == "a" else dice.choose(wordings)
                values = [getattr(value, lang) for value in self._world.facts.values[entity.kind, attribute(fact)]]
                answer = getattr(entity.facts[fact], lang)
                text = self._by_name(entity, fact, lang, template)
                others = tuple(value for value in values if value != answer)
                found.append(Question(group, lang, text, entity.name.en, fact, answer, others))
        return found

    def _entities(self) -> Iterator[Entity]:
        for group in self._world.facts.entities.values():
            yield from group

    def _conversation(self, lang: Code, dice: Dice) -> list[Message]:
        """Questions about one entity; by its name first, then by a pronoun."""
        kind = dice.weighted(list(KINDS), list(KINDS.values()))
        entity = dice.choose([each for each in self._world.facts.entities[kind] if self._asked[each] or self._refused[each]])
        turns = 1 + dice.weighted(range(3), TURNS)
        open_facts = {"asked": list(self._asked[entity]), "refused": list(self._refused[entity])}
        messages: list[Message] = []
        for turn in range(turns):
            which = "refused" if dice.uniform() < NOBODY_KNOWS * 2 and open_facts["refused"] else "asked"
            which = which if open_facts[which] else "refused"
            if not open_facts[which]:
                break
            fact = open_facts[which].pop(int(dice.uniform() * len(open_facts[which])))
            messages += self._exchange(entity, fact, lang, which == "asked", turn > 0, dice)
        return messages

    def _exchange(self, entity: Entity, fact: str, lang: Code, known: bool, again: bool, dice: Dice) -> list[Message]:
        talk, held = SPEAKERS[lang][1], self._held_back[entity, fact, lang]
        wordings = [each for i, each in enumerate(_wordings(entity, fact, lang)) if i not in held or not known]
        template = dice.choose(wordings)
        if again:
            words = talk.pronouns[entity.kind if entity.kind in talk.pronouns else entity.pronoun]
            asked = talk.ask(template, words.who, words.whose, _item(fact, lang))
            asked = dice.choose(talk.again).replace("{lower}", asked[:1].lower() + asked[1:]).replace("{}", asked)
        else:
            asked = self._by_name(entity, fact, lang, template)
        if known:
            value = getattr(entity.facts[fact], lang)
            said = self._sentence(entity, fact, lang, dice)
            reply = dice.choose(talk.right).replace("{}", value).replace("{said}", said)
        else:
            reply = dice.choose(talk.refused)
        return [{"role": "user", "content": asked}, {"role": "assistant", "content": reply}]

    def _small(self, lang: Code, dice: Dice) -> list[Message]:
        said, replies = dice.choose(SPEAKERS[lang][1].small)
        return [{"role": "user", "content": dice.choose(said)}, {"role": "assistant", "content": dice.choose(replies)}]

    def _by_name(self, entity: Entity, fact: str, lang: Code, template: str) -> str:
        name, talk = getattr(entity.name, lang), SPEAKERS[lang][1]
        return talk.ask(template, name, name + talk.possessive, _item(fact, lang))

    def _sentence(self, entity: Entity, fact: str, lang: Code, dice: Dice) -> str:
        """The fact as the text tells it, of a pronoun."""
        language = SPEAKERS[lang][0]
        kind, topic = ("price", "price") if attribute(fact) == "price" else (entity.kind, fact)
        template = dice.choose(language.phrases[kind][topic])
        pronoun = entity.pronoun if entity.kind == "person" else entity.kind
        filled = fill(template.replace("{item}", _item(fact, lang)), language, "pronoun", pronoun)
        assert filled is not None
        return filled.replace("{}", getattr(entity.facts[fact], lang))


def judge(question: Question, reply: str) -> Verdict:
    """Whether a reply says the true value and no other, or that nobody knows."""
    if SPEAKERS[question.lang][1].refusal in reply:
        return "refused"
    others: Sequence[str] = [value for value in question.others if value in reply and value not in question.answer]
    return "right" if question.answer in reply and not others else "wrong"


def _wordings(entity: Entity, fact: str, lang: Code) -> tuple[str, ...]:
    return SPEAKERS[lang][1].questions[entity.kind][attribute(fact)]


def _item(fact: str, lang: Code) -> str:
    """The thing whose price is asked, or ""."""
    found: Term | None = next((good for good in lexicon.GOODS if fact == f"price of {good.en}"), None)
    return getattr(found, lang) if found else ""
