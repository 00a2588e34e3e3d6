"""The forms that a document may have, as lists of steps, and how often each is met.

A form is the same in both languages; what is said differs. Nothing is told twice in a document, and a topic that is never
told of somebody is never taken up for them.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import cast

from liuli.world import lexicon, steps
from liuli.world.facts import FACTS, HABITS, Entity, EntityKind, WorldFacts
from liuli.world.grammar import GrammarState, Step
from liuli.world.language import Language, Subject, Wording, cut, fill

# How often a topic is taken up, beside 1 for any other: a frequency needs more examples than an answer.
WEIGHTS = {"ride": 5, "order": 5, "weather": 5}


def start(facts: WorldFacts, languages: Sequence[Language]) -> GrammarState:
    """Where every document begins: any form, in any of the languages with equal shares."""
    forms = [form for language in languages for form in _forms(Teller(facts, language))]
    return GrammarState(steps.Open(forms, GrammarState(None)))


class Teller:
    """Makes the steps of one language."""

    def __init__(self, facts: WorldFacts, language: Language):
        self.facts, self.language = facts, language

    def say(self, key: str) -> steps.Say:
        return steps.Say([cut(template) for template in self.language.sayings[key]])

    def meet(self, kind: EntityKind, first: bool = False) -> steps.Meet:
        """`first`: the name begins the document, with a capital."""
        entities = self.facts.entities[kind]
        names = [self._name(entity) for entity in entities]
        return steps.Meet(entities, [name[0].upper() + name[1:] for name in names] if first else names)

    def tell(self, kind: EntityKind, subject: Subject, lead: str = "", only: Sequence[str] = ()) -> list[steps.Placed]:
        """A statement: its wording, and its value. `only`: of these topics; by default of all."""
        wordings = self._wordings(kind, subject, lead)
        return [steps.Tell(self._topics(kind, only), wordings), self._value()]

    def ask(self, kind: EntityKind, lead: str) -> list[steps.Placed]:
        """A question about a topic, and its answer."""
        questions = {
            pronoun: [
                Wording(topic, lead + (fill(template, self.language, "pronoun", name) or ""), "", "")
                for topic, templates in self.language.questions[kind].items()
                for template in templates
            ]
            for pronoun, name in _pronouns(kind)
        }
        answers = self._wordings(kind, self.plain("pronoun"), self.language.turn)
        return [steps.Tell(self._topics(kind, ()), questions), steps.AnswerStep(answers), self._value()]

    def plain(self, subject: Subject) -> Subject:
        """The subject of a sentence where nobody can miss it: dropped where the language does so."""
        return "shared" if self.language.drops_subject else subject

    def clue(self, kind: EntityKind, lead: str = "") -> list[steps.Placed]:
        pool = self.facts.entities[kind]
        # Every riddle starts from the same tuple of entities; what a clause about "who" says does not depend on pronouns.
        wordings = self._wordings(kind, "shared", lead, FACTS[kind])[_pronouns(kind)[0][0]]
        return [steps.Clue(self._topics(kind, FACTS[kind]), wordings, pool), steps.ClueValue(self.language.code, pool)]

    def riddle_of(self, kind: EntityKind, opening: str) -> steps.Pose:
        """The opening of a riddle, whose answer may be anyone of the kind."""
        return steps.Pose([cut(template) for template in self.language.sayings[opening]], self.facts.entities[kind])

    def guess(self, kind: EntityKind) -> steps.Guess:
        return steps.Guess({entity: self._name(entity) for entity in self.facts.entities[kind]})

    def _name(self, entity: Entity) -> str:
        return getattr(entity.name, self.language.code)

    def _value(self) -> steps.ValueStep:
        return steps.ValueStep(self.facts, self.language.code)

    def _topics(self, kind: EntityKind, only: Sequence[str]) -> steps.Topics:
        every = FACTS[kind] + HABITS[kind]
        return steps.Topics(self.facts.entities[kind], every, only or every, WEIGHTS)

    def _wordings(self, kind: EntityKind, subject: Subject, lead: str, topics: Sequence[str] = ()) -> dict[str, list[Wording]]:
        """By pronoun: all wordings of the kind's topics, each with `lead` in front."""
        found: dict[str, list[Wording]] = {}
        for pronoun, name in _pronouns(kind):
            each = found[pronoun] = []
            for topic in topics or FACTS[kind] + HABITS[kind]:
                for template in self.templates(kind, topic):
                    filled = fill(template, self.language, subject, name)
                    if filled is not None:
                        each.append(cut(lead + filled, topic))
        return found

    def templates(self, kind: EntityKind, topic: str) -> tuple[str, ...]:
        """The templates of a topic; those of a price name the thing."""
        if not topic.startswith("price of "):
            return self.language.phrases[kind][topic]
        good = next(good for good in lexicon.GOODS if topic == f"price of {good.en}")
        item = getattr(good, self.language.code)
        return tuple(template.replace("{item}", item) for template in self.language.phrases["price"]["price"])


def _pronouns(kind: EntityKind) -> tuple[tuple[str, str], ...]:
    """The pronouns of a kind's entities, each with its name in the language's table."""
    return (("he", "he"), ("she", "she")) if kind == "person" else (("it", kind),)


def _forms(t: Teller) -> list[tuple[int, Step]]:
    """Each form's share and first step."""
    return [
        *((share, _chain(*_note(t, kind))) for kind, share in NOTES.items()),
        (66, _chain(*_diary(t))),
        (66, _chain(*_letter(t))),
        (18, _chain(*_guide(t))),
        (16, _chain(*_shop(t))),
        (18, _chain(*_chat(t, "person", "chat.open", "chat.yes"))),
        (5, _chain(*_chat(t, "town", "ask.town", "ask.town.yes"))),
        (5, _chain(*_chat(t, "animal", "ask.animal", "ask.animal.yes"))),
        (2, _chain(*_riddle(t))),
        (1, _chain(*_riddle_of_animals(t))),
    ]


NOTES: Mapping[EntityKind, int] = {"person": 44, "town": 5, "animal": 13, "shop": 4, "festival": 12}


def _note(t: Teller, kind: EntityKind) -> list[steps.Placed]:
    return [t.meet(kind, first=True), *t.tell(kind, "name"), t.say("note.end")]


def _diary(t: Teller) -> list[steps.Placed]:
    stop, join = t.language.stop, t.language.join
    return [
        *(t.say("diary.open"), t.meet("town"), *t.tell("town", "shared", t.language.which, only=HABITS["town"])),
        *(t.say("diary.meet"), t.meet("person")),
        *t.tell("person", "open", stop, only=("ride",)),
        *t.tell("person", "shared", t.language.then, only=("order",)),
        *(*t.tell("person", "open", stop, only=FACTS["person"]), *t.tell("person", "shared", join, only=FACTS["person"])),
        t.say("diary.end"),
    ]


def _letter(t: Teller) -> list[steps.Placed]:
    stop, join = t.language.stop, t.language.join
    return [
        *(t.say("letter.open"), t.say("letter.meet"), t.meet("person")),
        *(*t.tell("person", "open", stop, only=FACTS["person"]), *t.tell("person", "shared", join, only=FACTS["person"])),
        *t.tell("person", "pronoun", stop, only=HABITS["person"]),
        *(*t.tell("person", "open", stop, only=FACTS["person"]), *t.tell("person", "shared", join, only=FACTS["person"])),
        t.say("letter.end"),
    ]


def _guide(t: Teller) -> list[steps.Placed]:
    stop, join, facts = t.language.stop, t.language.join, FACTS["town"]
    return [
        *(t.say("guide.open"), t.meet("town")),
        *(*t.tell("town", "open", stop, facts), *t.tell("town", "shared", join, facts)),
        *(*t.tell("town", t.plain("open"), stop, facts), *t.tell("town", "shared", join, facts)),
        *t.tell("town", "pronoun", stop, facts),
        t.say("guide.end"),
    ]


def _shop(t: Teller) -> list[steps.Placed]:
    stop, join = t.language.stop, t.language.join
    return [
        *(t.say("shop.open"), t.meet("shop")),
        *(*t.tell("shop", "open", stop), *t.tell("shop", "shared", join)),
        *(t.say("shop.meet"), t.meet("person")),
        *t.tell("person", "pronoun", stop, only=("order",)),
        *(*t.tell("person", "open", stop, only=FACTS["person"]), *t.tell("person", "shared", join, only=FACTS["person"])),
        t.say("shop.end"),
    ]


def _chat(t: Teller, kind: EntityKind, opening: str, reply: str) -> list[steps.Placed]:
    turn = t.language.turn
    again = t.language.stop.rstrip(" ") + turn
    return [
        *(t.say(opening), t.meet(kind), t.say(reply)),
        *(*t.ask(kind, turn), *t.ask(kind, again), *(t.ask(kind, again) if kind != "animal" else ())),
        t.say("chat.end"),
    ]


def _riddle(t: Teller) -> list[steps.Placed]:
    return [
        t.riddle_of("person", "riddle.open"),
        *(*t.clue("person"), t.say("riddle.more"), *t.clue("person", t.language.space)),
        *(t.say("riddle.answer"), t.guess("person")),
        *t.tell("person", "pronoun", t.language.stop, only=FACTS["person"]),
        t.say("riddle.end"),
    ]


def _riddle_of_animals(t: Teller) -> list[steps.Placed]:
    return [
        t.riddle_of("animal", "riddle.animal"),
        *(*t.clue("animal"), t.say("riddle.more"), *t.clue("animal", t.language.space)),
        *(t.say("riddle.answer"), t.guess("animal"), t.say("riddle.end")),
    ]


def _chain(*placed: steps.Placed) -> Step:
    """Each step leads to the next, the last to the end."""
    asked = False
    for one, other in pairwise(placed):
        one.then = cast(Step, other)
    for step in reversed(placed):
        step.remembers = asked
        asked = isinstance(step, steps.Tell | steps.Clue) or (asked and not isinstance(step, steps.Meet))
    return cast(Step, placed[0])
