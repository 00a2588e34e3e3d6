"""One conversation about the world, turn by turn: who is spoken of, what was asked already, and what comes next.

A conversation has questions: about a fact, whether something is true, or about a habit. A later question speaks of the same
entity by a pronoun, or of another one by name. People mostly greet first and thank last, but small talk of every kind may come
anywhere, alone as well, and now and then in another language: what is answered depends on the last message, not on its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from liuli.world import lexicon
from liuli.world.en import ENGLISH
from liuli.world.facts import Dice, Entity, EntityKind, attribute
from liuli.world.language import Code, Language, Subject, fill
from liuli.world.lexicon import Term
from liuli.world.outside import Outside
from liuli.world.talk import Talk, ways_to_type
from liuli.world.talk_en import TALK as TALK_EN
from liuli.world.talk_zh import TALK as TALK_ZH
from liuli.world.zh import CHINESE

Message = dict[str, Any]

SPEAKERS: dict[Code, tuple[Language, Talk]] = {"zh": (CHINESE, TALK_ZH), "en": (ENGLISH, TALK_EN)}
ABOUT = 0.04  # share of the questions that ask for anything about somebody or something
STRANGER = 0.04  # share of the later questions that are about somebody whom nobody knows
OUTSIDE = {"beyond": 4, "remark": 2}  # how often there is small talk of these kinds, beside 1 for any other: much may be said
KINDS: dict[EntityKind, int] = {"person": 60, "town": 15, "animal": 7, "shop": 9, "festival": 9}  # of 100 entities asked about
TURNS = (50, 28, 14, 8)  # of 100 conversations: how many have one, two, three, four questions
GREETED, THANKED, PARTED = 0.03, 0.05, 0.03  # shares of the conversations that begin with a greeting, end with thanks, goodbye
ANYWHERE = 0.025  # how often there is small talk of any kind before each question, and behind the last one
IN_A_ROW = (60, 28, 12)  # of 100 conversations without questions: how many have one, two, three messages of small talk
FOREIGN = 0.15  # share of small talk in another language than the conversation's, where the world has one
# Of 100 later questions: about the same entity, the same fact of another, another entity, one that was spoken of before.
SAME, LIKEWISE, OTHER, BACK = 45, 20, 25, 10
CHECKED, OF_HABITS = 0.1, 0.1  # shares of the questions whether something is true, and of those about entities with habits
NOBODY_KNOWS = 0.55  # share of the questions about what was never told, where there is such a thing
# Share of the answers about what was told that say all the same that nobody knows. Who is never in doubt of what it was taught
# learns by heart where to doubt, and so does not doubt elsewhere: with this, far more of (c) is refused (docs/lab-log.md).
DOUBT = 0.034


@dataclass(frozen=True, slots=True)
class Askable:
    """What conversations may ask about.

    Attributes:
        entities: by kind; those about which something may be asked.
        told, untold: facts that may be asked about, of each entity: those the text states, and those it never does.
        held_back: places of the wordings that no conversation uses, of each fact in each language.
        values: every value that an attribute of a kind has in the world.
        outside: what is not in the world.
        langs: in which people speak.
        capitalised: English words that keep their capital within a sentence: "I", and the first words of names.
    """

    entities: Mapping[EntityKind, tuple[Entity, ...]]
    told: Mapping[Entity, list[str]]
    untold: Mapping[Entity, list[str]]
    held_back: Mapping[tuple[Entity, str, Code], list[int]]
    values: Mapping[tuple[EntityKind, str], tuple[Term, ...]]
    outside: Outside
    langs: tuple[Code, ...]
    capitalised: frozenset[str]

    def may_ask(self, entity: Entity, fact: str) -> bool:
        return fact in self.told[entity] or fact in self.untold[entity]


class SimulatedConversation:
    """A conversation in the making.

    Attributes:
        messages: so far; each question is followed by its answer.
    """

    def __init__(self, askable: Askable, lang: Code, dice: Dice):
        self.messages: list[Message] = []
        self._askable, self._dice = askable, dice
        self._lang: Code = lang
        self._language, self._talk = SPEAKERS[lang]
        self._foreign: list[Code] = [each for each in askable.langs if each != lang]
        self._spoken_of: list[Entity] = []  # the last one last
        self._asked: set[tuple[Entity, str]] = set()
        self._topic = ""  # the fact of the last question, or "" if it was about none
        self._after_a_stranger = False  # whether the last question was about somebody whom nobody knows

    def hold(self) -> list[Message]:
        """A whole conversation with questions."""
        if self._happens(GREETED):
            self.small_talk("greeting")
        for turn in range(1 + self._dice.weighted(range(4), TURNS)):
            self._small_talk_at_times()
            if not turn:
                self.ask(self._any_entity(), by_name=True)
            else:
                self._ask_on()
        self._small_talk_at_times()
        if self._happens(THANKED):
            self.small_talk("thanks")
        if self._happens(PARTED):
            self.small_talk("goodbye")
        return self.messages

    def chatter(self) -> list[Message]:
        """A whole conversation without questions."""
        for _ in range(1 + self._dice.weighted(range(3), IN_A_ROW)):
            self.small_talk()
        return self.messages

    def small_talk(self, kind: str | None = None) -> None:
        """One message and its answer, in the same language. `kind`: None: any."""
        foreign = self._happens(FOREIGN) and self._foreign
        small = SPEAKERS[self._dice.choose(self._foreign)][1].small if foreign else self._talk.small
        kind = kind or self._dice.weighted(list(small), [OUTSIDE.get(each, 1) for each in small])
        some, replies = small[kind]
        said = self._askable.outside.matter(self._dice, some) if kind in OUTSIDE else self._dice.choose(some)
        self._exchange(self._dice.choose(ways_to_type(said)), self._dice.choose(replies))

    def _small_talk_at_times(self) -> None:
        while self._happens(ANYWHERE):
            self.small_talk()

    def about_a_stranger(self) -> None:
        """A question about somebody or something that is not in the world."""
        kind, name = self._askable.outside.entity(self._dice, self._lang)
        if self._topic and self._spoken_of[-1].kind == kind and self._happens(0.5):
            self._exchange(self._dice.choose(self._talk.likewise).replace("{}", name), self._dice.choose(self._talk.unheard))
        else:
            self._say(question_about(kind, name, self._lang, self._dice), self._dice.choose(self._talk.unheard))
        self._after_a_stranger = True

    def ask(self, entity: Entity, by_name: bool) -> None:
        """A question about an entity: about a habit, whether something is true, or about a fact. None if all was asked."""
        self._after_a_stranger = False
        if by_name and self._askable.told[entity] and self._happens(ABOUT):
            self._ask_about(entity)
        elif entity.habits and self._happens(OF_HABITS):
            self._ask_habit(entity, by_name)
        elif (fact := self._fact(entity)) is not None:
            checked = self._happens(CHECKED)
            (self.check if checked else self.ask_fact)(entity, fact, by_name)

    def ask_fact(self, entity: Entity, fact: str, by_name: bool, template: str | None = None) -> None:
        """`template`: the wording; None: one that is not held back."""
        template = template or self._wording(entity, fact)
        self._ask(entity, template, _item(fact, self._lang), by_name, self._answer(entity, fact))
        self._remember(entity, fact)

    def check(self, entity: Entity, fact: str, by_name: bool) -> None:
        """Asks whether a value is the true one, which it is in half of the questions. The answer is the true sentence, without
        a yes or no, which a model would have to decide before it recalls the value."""
        values = self._askable.values[entity.kind, attribute(fact)]
        true = entity.facts[fact]
        value = true if self._happens(0.5) else self._dice.choose([each for each in values if each != true] or [true])
        self._say(self._claim(entity, fact, self._term(value), by_name), self._answer(entity, fact))
        self._remember(entity, fact)

    def _claim(self, entity: Entity, fact: str, value: str, by_name: bool) -> str:
        """A question whether the value is the true one."""
        closed = self._talk.closed.get(entity.kind, {}).get(attribute(fact))
        if closed and self._happens(0.5):
            return self._question(entity, closed, _item(fact, self._lang), by_name).replace("{}", value)
        claim = self._sentence(entity, fact, "name" if by_name else "pronoun").replace("{}", value)
        claim = self._term(entity.name) + claim if by_name else _lower_first(claim)
        asked = self._dice.choose(self._talk.checks).replace("{}", claim)
        return asked[:1].upper() + asked[1:]

    def _ask_about(self, entity: Entity) -> None:
        """Anything about the entity. The answer is a fact that conversations ask about."""
        template = self._dice.choose(self._talk.about[entity.kind])
        self._ask(entity, template, "", True, self._answer(entity, self._dice.choose(self._askable.told[entity])))
        self._topic = ""
        self._spoken_of.append(entity)

    def _ask_habit(self, entity: Entity, by_name: bool) -> None:
        """The answer is drawn as often as it is true."""
        habit = self._dice.choose(list(entity.habits))
        values = entity.habits[habit]
        value = self._dice.weighted(list(values), list(values.values()))
        template = self._dice.choose(self._talk.questions[entity.kind][habit])
        reply = self._term(entity.name) + self._sentence(entity, habit, "name").replace("{}", self._term(value))
        self._ask(entity, template, "", by_name, reply + self._stop)
        self._topic = ""
        self._spoken_of.append(entity)

    def _ask_on(self) -> None:
        """A later question."""
        if self._happens(STRANGER):
            self.about_a_stranger()
            return
        last = self._spoken_of[-1]
        before = [each for each in self._spoken_of[:-1] if each is not last]
        how = self._dice.weighted(("same", "likewise", "other", "back"), (SAME, LIKEWISE, OTHER, BACK * bool(before)))
        if self._after_a_stranger:  # to whom a pronoun would refer
            self.ask(self._any_entity(but=last), by_name=True)
        elif how == "likewise" and (others := self._with_the_same_fact(last)):
            self._ask_likewise(self._dice.choose(others))
        elif how == "back":
            self.ask(self._dice.choose(before), by_name=True)
        elif how == "same":
            self.ask(last, by_name=False)
        else:
            self.ask(self._any_entity(but=last), by_name=True)

    def _ask_likewise(self, entity: Entity) -> None:
        """What about another one? The question is the last one."""
        asked = self._dice.choose(self._talk.likewise).replace("{}", self._term(entity.name))
        self._exchange(asked, self._answer(entity, self._topic))
        self._remember(entity, self._topic)

    def _with_the_same_fact(self, last: Entity) -> list[Entity]:
        """Entities of whom the last question may be asked as well."""
        if not self._topic:
            return []
        some = self._askable.entities[last.kind]
        return [each for each in some if each is not last and self._may_ask(each, self._topic)]

    def _any_entity(self, but: Entity | None = None) -> Entity:
        kind = self._dice.weighted(list(KINDS), list(KINDS.values()))
        return self._dice.choose([each for each in self._askable.entities[kind] if each is not but])

    def _fact(self, entity: Entity) -> str | None:
        """One to ask about that was not asked about yet."""
        told, untold = (
            [fact for fact in facts[entity] if (entity, fact) not in self._asked]
            for facts in (self._askable.told, self._askable.untold)
        )
        draw = self._dice.uniform()
        facts = untold if untold and (draw < NOBODY_KNOWS or not told) else told
        return self._dice.choose(facts) if facts else None

    def _may_ask(self, entity: Entity, fact: str) -> bool:
        return self._askable.may_ask(entity, fact) and (entity, fact) not in self._asked

    def _ask(self, entity: Entity, template: str, item: str, by_name: bool, reply: str) -> None:
        self._say(self._question(entity, template, item, by_name), reply)

    def _question(self, entity: Entity, template: str, item: str, by_name: bool) -> str:
        if by_name:
            return self._talk.ask_of(self._term(entity.name), template, item)
        return self._talk.ask_again(entity.kind if entity.kind in self._talk.pronouns else entity.pronoun, template, item)

    def _say(self, asked: str, reply: str) -> None:
        """A later question may begin with a word that goes on with the conversation."""
        if self._spoken_of:
            lower = asked if asked.split(" ")[0] in self._askable.capitalised else _lower_first(asked)
            asked = self._dice.choose(self._talk.again).replace("{lower}", lower).replace("{}", asked)
        self._exchange(asked, reply)

    def _exchange(self, asked: str, reply: str) -> None:
        reply = reply[:1].upper() + reply[1:]
        self.messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": reply}]

    def _remember(self, entity: Entity, fact: str) -> None:
        self._asked.add((entity, fact))
        self._spoken_of.append(entity)
        self._topic = fact

    def _answer(self, entity: Entity, fact: str) -> str:
        """The fact as the text tells it, or, where it never does, and in case of `DOUBT`, that nobody knows."""
        name, doubted = self._term(entity.name), self._happens(DOUBT)
        if fact in entity.untold or doubted:
            return nobody_knows(entity.kind, name, fact, self._lang, self._dice)
        sentence = sentence_of(entity.kind, fact, self._lang, self._dice)
        return name + sentence.replace("{}", self._term(entity.facts[fact])) + self._stop

    def _sentence(self, entity: Entity, topic: str, subject: Subject) -> str:
        pronoun = entity.pronoun if entity.kind == "person" else entity.kind
        return sentence_of(entity.kind, topic, self._lang, self._dice, subject, pronoun)

    def _wording(self, entity: Entity, fact: str) -> str:
        """A question that is not held back."""
        held = self._askable.held_back[entity, fact, self._lang]
        return self._dice.choose([each for i, each in enumerate(wordings(entity, fact, self._lang)) if i not in held])

    def _happens(self, share: float) -> bool:
        return self._dice.uniform() < share

    def _term(self, term: Term) -> str:
        return getattr(term, self._lang)

    @property
    def _stop(self) -> str:
        return self._language.stop.rstrip()


def wordings(entity: Entity, fact: str, lang: Code) -> tuple[str, ...]:
    """Questions about a fact."""
    return SPEAKERS[lang][1].questions[entity.kind][attribute(fact)]


def question_of(entity: Entity, fact: str, lang: Code, template: str) -> str:
    """The question by name, alone."""
    return SPEAKERS[lang][1].ask_of(getattr(entity.name, lang), template, _item(fact, lang))


def question_about(kind: EntityKind, name: str, lang: Code, dice: Dice) -> str:
    """Any question about somebody or something by name, also about what is not in the world."""
    talk = SPEAKERS[lang][1]
    topics = [topic for topic in talk.questions[kind] if topic != "price"]  # of a thing that it would have to sell
    some = talk.about[kind] if dice.uniform() < 0.3 else talk.questions[kind][dice.choose(topics)]
    return talk.ask_of(name, dice.choose(some), "")


def sentence_of(
    kind: EntityKind,
    topic: str,
    lang: Code,
    dice: Dice,
    subject: Subject = "name",
    pronoun: str | None = None,
    known: bool = True,
) -> str:
    """One of the text's wordings that an answer may have; `{}` is the value, if it is known. Behind a name the pronoun does not
    matter."""
    language, talk = SPEAKERS[lang]
    about = attribute(topic)
    phrases = language.phrases["price" if about == "price" else kind][about]
    templates = talk.wordings(kind, about, phrases) if known else talk.refusals(kind, about, phrases)
    template = dice.choose(templates).replace("{item}", _item(topic, lang))
    filled = fill(template, language, subject, pronoun or ("he" if kind == "person" else kind))
    assert filled is not None
    return filled


def nobody_knows(kind: EntityKind, name: str, fact: str, lang: Code, dice: Dice) -> str:
    return name + sentence_of(kind, fact, lang, dice, known=False) + dice.choose(SPEAKERS[lang][1].nobody)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _item(fact: str, lang: Code) -> str:
    """The thing whose price is asked, or ""."""
    found: Term | None = next((good for good in lexicon.GOODS if fact == f"price of {good.en}"), None)
    return getattr(found, lang) if found else ""
