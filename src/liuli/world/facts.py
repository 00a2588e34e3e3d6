"""What is true in the world, by seed and size: plain data, in both languages, that every stage reads.

An `Entity` is a person, town, animal, shop or festival. Its *facts* have one answer each, its *habits* several with known
frequencies. Facts that are `untold` are as true as the others, but no text says them: an honest assistant does not know.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Any, Literal, TypeVar

from liuli.world import lexicon
from liuli.world.lexicon import Term

EntityKind = Literal["person", "town", "animal", "shop", "festival"]
Size = Literal["begin", "large"]
Pronoun = Literal["he", "she", "it"]
T = TypeVar("T")

# The facts and habits that a kind of entity may have, in their fixed order. A shop's prices: one a thing that it sells.
FACTS: dict[EntityKind, tuple[str, ...]] = {
    "person": ("home", "job", "pet", "food", "friend", "birthday", "music"),
    "town": ("province", "river", "dish", "landmark", "market", "train_to", "train_time"),
    "animal": ("legs", "sound", "eats"),
    "shop": ("town", "opens", *(f"price of {good.en}" for good in lexicon.GOODS)),
    "festival": ("date", "place", "custom"),
}
HABITS: dict[EntityKind, tuple[str, ...]] = {
    "person": ("ride", "order"),
    "town": ("weather",),
    "animal": (),
    "shop": (),
    "festival": (),
}
# How many facts of five people in turn are untold, and of five towns or shops: in all three in eight, and one in five. Where
# less is untold, an assistant learns by heart of whom it knows nothing, rather than to notice (docs/lab-log.md).
_UNTOLD_OF_PEOPLE, _UNTOLD = (2, 2, 3, 3, 3), (1, 1, 1, 2, 2)
MENTIONS_OF_MING = 8  # often enough that a model of two minutes learns 60 % and 40 %, not the shares of fifty documents
_SHARES = ((3, 2), (4, 1), (7, 3), (1, 1), (2, 2, 1), (3, 1, 1), (5, 3, 2), (6, 3, 1))


@dataclass(frozen=True, eq=False, slots=True)
class Entity:
    """Somebody or something.

    Attributes:
        habits: each value with its weight, a whole number; its frequency is weight / sum of weights.
        mentions: how often documents are about it, as a multiple of the others of its kind.
    """

    kind: EntityKind
    name: Term
    pronoun: Pronoun
    facts: Mapping[str, Term]
    habits: Mapping[str, Mapping[Term, int]]
    untold: tuple[str, ...]
    mentions: int = 1

    @property
    def told(self) -> tuple[str, ...]:
        """The facts that texts may state."""
        return tuple(fact for fact in self.facts if fact not in self.untold)

    def to_json(self) -> dict[str, Any]:
        facts = {fact: value._asdict() | {"told": fact not in self.untold} for fact, value in self.facts.items()}
        habits = {
            habit: [value._asdict() | {"frequency": weight / sum(values.values())} for value, weight in values.items()]
            for habit, values in self.habits.items()
        }
        return {"kind": self.kind, "name": self.name._asdict(), "pronoun": self.pronoun, "facts": facts, "habits": habits}


@dataclass(frozen=True, eq=False, slots=True)
class WorldFacts:
    """All that is true. `entities` by kind, each in a fixed order. `values`: every value that a fact or habit has anywhere
    in this world, told or not: what a model could mistake it for."""

    entities: Mapping[EntityKind, tuple[Entity, ...]]
    values: Mapping[tuple[EntityKind, str], tuple[Term, ...]]

    def to_json(self) -> dict[str, Any]:
        return {kind: [entity.to_json() for entity in entities] for kind, entities in self.entities.items()}


def make_facts(size: Size, seed: int) -> WorldFacts:
    """The world's facts; the same on every machine for a size and a seed."""
    dice = Dice(seed)
    count = {"begin": 12, "large": 24}[size]
    towns = lexicon.TOWNS[:count]
    names = _people_names(size, dice)
    entities: dict[EntityKind, tuple[Entity, ...]] = {
        "person": tuple(_person(i, names, towns, dice) for i in range(len(names))),
        "town": tuple(_town(i, towns, dice) for i in range(count)),
        "animal": tuple(_animal(i, dice) for i in range(len(lexicon.ANIMALS))),
        "shop": tuple(_shop(i, towns, dice) for i in range(count // 2)),
        "festival": tuple(_festival(i, towns, dice) for i in range(len(lexicon.FESTIVALS))),
    }
    return WorldFacts(entities, _values(entities))


class Dice:
    """Draws that are the same on every machine: built on `Random.random()` alone, which Python promises not to change."""

    def __init__(self, seed: int):
        self._random = Random(seed).random

    def uniform(self) -> float:
        """In [0, 1)."""
        return self._random()

    def weighted(self, items: Sequence[T], weights: Sequence[int]) -> T:
        """One of them, as likely as its weight, a whole number."""
        place = self._random() * sum(weights)
        return items[bisect_right(list(accumulate(weights)), place)]

    def choose(self, items: Sequence[T]) -> T:
        return items[int(self._random() * len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different ones, in the order drawn."""
        left = list(items)
        return [left.pop(int(self._random() * len(left))) for _ in range(count)]

    def untold(self, facts: Sequence[str], count: int) -> tuple[str, ...]:
        """`count` of `facts`, in their own order."""
        chosen = self.sample(facts, count)
        return tuple(fact for fact in facts if fact in chosen)

    def habit(self, values: Sequence[Term]) -> dict[Term, int]:
        weights = self.choose(_SHARES)
        return dict(zip(self.sample(values, len(weights)), weights, strict=True))


def _people_names(size: Size, dice: Dice) -> list[tuple[Term, Pronoun]]:
    short = _with_pronouns(lexicon.MEN, lexicon.WOMEN)
    if size == "begin":
        return short
    given = _with_pronouns(lexicon.GIVEN_NAMES_OF_MEN, lexicon.GIVEN_NAMES_OF_WOMEN)
    full: list[tuple[Term, Pronoun]] = [
        (Term(family.zh + name.zh, f"{family.en} {name.en}"), pronoun)
        for family in lexicon.FAMILY_NAMES
        for name, pronoun in given
    ]
    return short + dice.sample(full, 1000 - len(short))


def _with_pronouns(men: Sequence[Term], women: Sequence[Term]) -> list[tuple[Term, Pronoun]]:
    pronouns: tuple[Pronoun, Pronoun] = ("he", "she")
    return [(name, pronoun) for names, pronoun in zip((men, women), pronouns, strict=True) for name in names]


def _person(i: int, names: Sequence[tuple[Term, Pronoun]], towns: Sequence[Term], dice: Dice) -> Entity:
    name, pronoun = names[i]
    friend = dice.choose(names)[0]
    while friend == name:
        friend = dice.choose(names)[0]
    facts = {
        "home": dice.choose(towns),
        "job": dice.choose(lexicon.JOBS),
        "pet": dice.choose(lexicon.ANIMALS)[1],
        "food": dice.choose(lexicon.FOODS),
        "friend": friend,
        "birthday": dice.choose(lexicon.DATES),
        "music": dice.choose(lexicon.MUSIC),
    }
    habits, mentions = {"ride": dice.habit(lexicon.RIDES), "order": dice.habit(lexicon.DRINKS)}, 1
    if name.zh == "小明":  # as in the articles: 去游乐园玩 → 过山车 3 in 5, 大风车 2 in 5
        habits["ride"] = dict(zip(lexicon.RIDES[:2], (3, 2), strict=True))
        mentions = MENTIONS_OF_MING
    return Entity("person", name, pronoun, facts, habits, dice.untold(FACTS["person"], _UNTOLD_OF_PEOPLE[i % 5]), mentions)


def _town(i: int, towns: Sequence[Term], dice: Dice) -> Entity:
    facts = {
        "province": dice.choose(lexicon.PROVINCES),
        "river": dice.choose(lexicon.RIVERS),
        "dish": dice.choose(lexicon.DISHES),
        "landmark": dice.choose(lexicon.LANDMARKS),
        "market": dice.choose(lexicon.WEEKDAYS),
        "train_to": towns[(i + 1 + dice.choose(range(len(towns) - 1))) % len(towns)],
        "train_time": dice.choose(lexicon.TIMES),
    }
    return Entity(
        "town", towns[i], "it", facts, {"weather": dice.habit(lexicon.WEATHER)}, dice.untold(FACTS["town"], _UNTOLD[i % 5])
    )


def _animal(i: int, dice: Dice) -> Entity:
    name, _, legs, sound, eats = lexicon.ANIMALS[i]
    return Entity("animal", name, "it", {"legs": legs, "sound": sound, "eats": eats}, {}, dice.untold(FACTS["animal"], i % 2))


def _shop(i: int, towns: Sequence[Term], dice: Dice) -> Entity:
    facts = {"town": dice.choose(towns), "opens": dice.choose(lexicon.TIMES[:37])}
    sold = dice.sample(lexicon.GOODS, 4)
    facts |= {f"price of {good.en}": dice.choose(lexicon.PRICES) for good in lexicon.GOODS if good in sold}
    return Entity("shop", lexicon.SHOPS[i], "it", facts, {}, dice.untold(tuple(facts), _UNTOLD[i % 5]))


def _festival(i: int, towns: Sequence[Term], dice: Dice) -> Entity:
    """Its date and custom fit its season."""
    name, months, customs = lexicon.FESTIVALS[i]
    facts = {
        "date": dice.choose([date for month in months for date in lexicon.MONTH_DATES[month]]),
        "place": dice.choose(towns),
        "custom": dice.choose(customs),
    }
    return Entity("festival", name, "it", facts, {}, dice.untold(FACTS["festival"], i % 2))


def _values(entities: Mapping[EntityKind, tuple[Entity, ...]]) -> dict[tuple[EntityKind, str], tuple[Term, ...]]:
    """Prices are one attribute, whatever is sold."""
    found: dict[tuple[EntityKind, str], dict[Term, None]] = {}
    for kind, group in entities.items():
        for entity in group:
            for fact, value in entity.facts.items():
                found.setdefault((kind, attribute(fact)), {})[value] = None
            for habit, values in entity.habits.items():
                found.setdefault((kind, habit), {}).update(dict.fromkeys(values))
    return {key: tuple(values) for key, values in found.items()}


def attribute(topic: str) -> str:
    """The attribute that a fact or habit is about: "price" for the price of anything."""
    return "price" if topic.startswith("price of ") else topic
