"""The steps that forms are made of: to say something, meet somebody, tell of them, ask, answer, riddle.

Each is built for one language and knows its choices in advance as far as they are the same for many states: which wordings
are open depends on which topics are (as bits), not on who it is about.
"""

import math
from collections.abc import Mapping, Sequence

from liuli.world.facts import Entity, WorldFacts, attribute
from liuli.world.grammar import GrammarChoice, GrammarState, Step, check_prefix_free, make_choice
from liuli.world.language import Code, Wording


class Placed:
    """A step with another behind it; None ends the document. `remembers`: a step behind it asks what has been told of the
    same subject; where none does the state forgets, so that there are fewer states."""

    then: Step | None = None
    remembers: bool = False


class Say(Placed):
    """One of several wordings about nothing in particular; it may end where an entity is to follow."""

    def __init__(self, wordings: Sequence[Wording]):
        self._wordings = tuple(wordings)
        self._choice = make_choice("wording", [wording.text for wording in wordings], [1] * len(wordings))

    def choice(self, state: GrammarState) -> GrammarChoice:
        return self._choice

    def after(self, state: GrammarState, i: int) -> GrammarState:
        wording = self._wordings[i]
        return GrammarState(self.then, wording.lead, state.subject, "", state.told, wording.tail)


class Pose(Say):
    """The opening of a riddle: from here on the subject is everyone whom it may be."""

    def __init__(self, wordings: Sequence[Wording], pool: tuple[Entity, ...]):
        super().__init__(wordings)
        self._pool = pool

    def after(self, state: GrammarState, i: int) -> GrammarState:
        return super().after(state, i)._replace(subject=self._pool)


class Meet(Placed):
    """An entity by name, as often as its `mentions` say; the text is about it from here on."""

    def __init__(self, entities: Sequence[Entity], names: Sequence[str]):
        self._entities = tuple(entities)
        self._choice = make_choice("entity", names, [entity.mentions for entity in self._entities])

    def choice(self, state: GrammarState) -> GrammarChoice:
        return self._choice

    def after(self, state: GrammarState, i: int) -> GrammarState:
        return GrammarState(self.then, state.tail, self._entities[i])


class Topics:
    """Which topics are open: those told anywhere, of those that this step speaks of. Topic k of its kind is bit k."""

    def __init__(self, entities: Sequence[Entity], topics: Sequence[str], only: Sequence[str], weights: Mapping[str, int]):
        self.bits = {topic: 1 << place for place, topic in enumerate(topics)}
        self.weights = {topic: weights.get(topic, 1) for topic in topics}
        wanted = sum(self.bits[topic] for topic in only)
        self.open = {
            entity: wanted & sum(bit for topic, bit in self.bits.items() if topic in entity.told or topic in entity.habits)
            for entity in entities
        }


class TakeUp(Placed):
    """Takes up a topic: the wording that leads to its value. Which wordings are open is for its kinds to say."""

    def __init__(self, topics: Topics):
        self._topics = topics

    def _open(self, state: GrammarState) -> tuple[GrammarChoice, list[Wording]]:
        """The choice among the wordings that are open, and these in the same order."""
        raise NotImplementedError

    def choice(self, state: GrammarState) -> GrammarChoice:
        return self._open(state)[0]

    def after(self, state: GrammarState, i: int) -> GrammarState:
        wording = self._open(state)[1][i]
        told = state.told | self._topics.bits[wording.topic] if self.remembers else 0
        return GrammarState(self.then, wording.lead, state.subject, wording.topic, told, wording.tail)


class Tell(TakeUp):
    """Takes up a topic of the subject that is open and not told yet: the wording of a statement or of a question.

    A topic's weight is shared by its wordings. `wordings`: by the subject's pronoun.
    """

    def __init__(self, topics: Topics, wordings: Mapping[str, Sequence[Wording]]):
        super().__init__(topics)
        self._wordings = wordings
        self._known: dict[tuple[str, int], tuple[GrammarChoice, list[Wording]]] = {}
        for each in wordings.values():  # all open at once: whatever is open later is a part of it
            check_prefix_free([wording.text for wording in each])

    def _open(self, state: GrammarState) -> tuple[GrammarChoice, list[Wording]]:
        subject = state.subject
        bits = self._topics.open[subject] & ~state.told
        known = self._known.get((subject.pronoun, bits))
        if known is None:
            found = [wording for wording in self._wordings[subject.pronoun] if self._topics.bits[wording.topic] & bits]
            weights = share_weights([wording.topic for wording in found], self._topics.weights)
            choice = make_choice("wording", [wording.text for wording in found], weights)
            known = self._known[subject.pronoun, bits] = choice, found
        return known

    def untold(self, state: GrammarState, text: str) -> str | None:
        """The fact of the subject that `text` goes on to, by its first wording, if that is true but never told."""
        subject: Entity = state.subject
        if not text.startswith(state.lead):
            return None
        for wording in self._wordings[subject.pronoun]:
            rest = text.removeprefix(state.lead)
            if wording.topic in subject.untold and (rest.startswith(wording.text) or wording.text.startswith(rest)):
                return wording.topic
        return None


class AnswerStep(Placed):
    """A wording for the topic that was just asked about."""

    def __init__(self, wordings: Mapping[str, Sequence[Wording]]):
        self._known: dict[tuple[str, str], tuple[GrammarChoice, list[Wording]]] = {}
        for pronoun, each in wordings.items():
            for topic in {wording.topic: None for wording in each}:
                found = [wording for wording in each if wording.topic == topic]
                choice = make_choice("wording", [wording.text for wording in found], [1] * len(found))
                self._known[pronoun, topic] = choice, found

    def choice(self, state: GrammarState) -> GrammarChoice:
        return self._known[state.subject.pronoun, state.topic][0]

    def after(self, state: GrammarState, i: int) -> GrammarState:
        wording = self._known[state.subject.pronoun, state.topic][1][i]
        return GrammarState(self.then, wording.lead, state.subject, state.topic, state.told, wording.tail)


class ValueStep(Placed):
    """The topic's value: the one true answer of a fact, or a habit's draw."""

    def __init__(self, facts: WorldFacts, code: Code):
        self._facts, self.code = facts, code
        self._known: dict[tuple[Entity, str], GrammarChoice] = {}

    def attribute(self, state: GrammarState) -> str:
        """What the value is of, such as "person home"."""
        return f"{state.subject.kind} {attribute(state.topic)}"

    def choice(self, state: GrammarState) -> GrammarChoice:
        known = self._known.get((state.subject, state.topic))
        if known is None:
            known = self._known[state.subject, state.topic] = self._make(state.subject, state.topic)
        return known

    def _make(self, subject: Entity, topic: str) -> GrammarChoice:
        values = [getattr(value, self.code) for value in self._facts.values[subject.kind, attribute(topic)]]
        check_prefix_free(values)
        if topic in subject.facts:
            return make_choice("fact", [getattr(subject.facts[topic], self.code)], [1], values)
        habit = subject.habits[topic]
        return make_choice("habit", [getattr(value, self.code) for value in habit], list(habit.values()), values)

    def after(self, state: GrammarState, i: int) -> GrammarState:
        return GrammarState(self.then, state.tail, state.subject, "", state.told)


class Clue(TakeUp):
    """A riddle's next clue. The subject is the tuple of those whom it may still be: a topic is as likely as the number of
    them of whom it is told, so that the answer is no hidden state."""

    def __init__(self, topics: Topics, wordings: Sequence[Wording], pool: tuple[Entity, ...]):
        super().__init__(topics)
        self._wordings, self._pool = wordings, pool
        self._first: tuple[GrammarChoice, list[Wording]] | None = None

    def _open(self, state: GrammarState) -> tuple[GrammarChoice, list[Wording]]:
        if state.subject is self._pool and self._first:
            return self._first
        counts = {
            topic: 0 if bit & state.told else sum(1 for entity in state.subject if self._topics.open[entity] & bit)
            for topic, bit in self._topics.bits.items()
        }
        found = [wording for wording in self._wordings if counts[wording.topic]]
        weights = share_weights([wording.topic for wording in found], counts)
        known = make_choice("wording", [wording.text for wording in found], weights), found
        if state.subject is self._pool:
            self._first = known
        return known


class ClueValue(Placed):
    """What the clue says: each value as likely as the number of those left to whom it applies. It tells them apart, so it
    counts as an entity."""

    def __init__(self, code: Code, pool: tuple[Entity, ...]):
        self._code, self._pool = code, pool
        self._first: dict[str, tuple[GrammarChoice, list[tuple[Entity, ...]]]] = {}

    def _open(self, state: GrammarState) -> tuple[GrammarChoice, list[tuple[Entity, ...]]]:
        known = self._first.get(state.topic) if state.subject is self._pool else None
        if known:
            return known
        groups: dict[str, list[Entity]] = {}
        for entity in state.subject:
            if state.topic not in entity.untold:
                groups.setdefault(getattr(entity.facts[state.topic], self._code), []).append(entity)
        choice = make_choice("entity", list(groups), [len(group) for group in groups.values()])
        known = choice, [tuple(group) for group in groups.values()]
        if state.subject is self._pool:
            self._first[state.topic] = known
        return known

    def choice(self, state: GrammarState) -> GrammarChoice:
        return self._open(state)[0]

    def after(self, state: GrammarState, i: int) -> GrammarState:
        return GrammarState(self.then, state.tail, self._open(state)[1][i], "", state.told)


class Guess(Placed):
    """The riddle's answer: anyone to whom all clues apply, all alike; mostly there is one."""

    def __init__(self, names: Mapping[Entity, str]):
        self._names = names

    def choice(self, state: GrammarState) -> GrammarChoice:
        return make_choice("entity", [self._names[entity] for entity in state.subject], [1] * len(state.subject))

    def after(self, state: GrammarState, i: int) -> GrammarState:
        return GrammarState(self.then, state.tail, state.subject[i], "", state.told)


class Open(Placed):
    """How a document may begin: the first choices of all forms as one, each with the form's share.

    It chooses form and language by what is written, which may be a name; it counts as wording.
    """

    def __init__(self, forms: Sequence[tuple[int, Step]], lead: GrammarState):
        self._places = [(step, i) for _, step in forms for i in range(len(step.choice(lead).pieces))]
        choices = [(weight, step.choice(lead)) for weight, step in forms]
        common = math.lcm(*(choice.total for _, choice in choices))
        weights = [weight * each * (common // choice.total) for weight, choice in choices for each in choice.weights]
        self._choice = make_choice("wording", [piece for _, choice in choices for piece in choice.pieces], weights)

    def choice(self, state: GrammarState) -> GrammarChoice:
        return self._choice

    def after(self, state: GrammarState, i: int) -> GrammarState:
        step, place = self._places[i]
        return step.after(state, place)


def share_weights(topics: Sequence[str], weights: Mapping[str, int]) -> list[int]:
    """Whole-number weights of wordings such that each topic has its weight, shared evenly by its wordings."""
    counts = {topic: topics.count(topic) for topic in topics}
    common = math.lcm(*counts.values())
    return [weights[topic] * common // counts[topic] for topic in topics]
