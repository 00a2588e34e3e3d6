"""A reader of the world's documents that shares nothing with their writer but the facts.

It knows the names and values of the world, and a few words that tell a town or person who is a value from one who is the
subject. It goes through a text once: a name that stands alone is the subject from there on; anything else is a claim about
the subject. A riddle's claims wait for its subject.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from liuli.world.facts import Entity, WorldFacts, attribute
from liuli.world.lexicon import GOODS

# What stands before a town or person that is said of somebody.
BEFORE = {
    "zh": {
        "home": "住在|家在|一直住|家安在|都回|小屋在",
        "train_to": "车去|火车能到|班车到|下一站就是|火车开往|铁路通向",
        "place": "要去|最热闹的是|由|起源于|让|主场在",
        "town": "开在|守着|藏在|背靠|招牌挂在|在",
        "friend": "和|最好的朋友是|心事只告诉|常去找|最后一块糖留给|知己是",
    },
    "en": {
        "home": "lives in|calls|small house in|goes home to|never leave|home is in",
        "train_to": "runs a train to|one stop from|has a line to|trains for|railway leads to|train goes to",
        "place": "held in|draws everyone to|roots in|fills the streets of|pride of|'s home is",
        "town": "stands in|lane of|corner in|old street of|wall of|sign hangs in",
        "friend": "secret to|last sweet for|trusts|walks home with|writes to|best friend is",
    },
}
MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
NUMBERS = rf"\d+元|\d+ yuan|\d+:\d\d|\d+月\d+日|\d+ (?:{MONTHS})"
CHINESE = re.compile("[一-鿿]")


class Claim(NamedTuple):
    subject: Entity
    topic: str  # a fact or habit; "price of …" for a price
    value: str


class Reader:
    def __init__(self, facts: WorldFacts):
        self.languages = {lang: LanguageReader(facts, lang) for lang in ("zh", "en")}

    def claims(self, document: str) -> list[Claim]:
        return list(self.languages["zh" if CHINESE.search(document) else "en"].claims(document))

    def lies(self, document: str) -> list[Claim]:
        """The claims that are not told, or not true."""
        return [claim for claim in self.claims(document) if not is_told(claim)]


def is_told(claim: Claim) -> bool:
    subject, topic, value = claim
    if topic in subject.habits:
        return any(value in term for term in subject.habits[topic])
    return topic in subject.told and value in subject.facts[topic]


class LanguageReader:
    def __init__(self, facts: WorldFacts, lang: str):
        self.names: dict[str, Entity] = {}
        self.topics: dict[tuple[str, str], str] = {}  # (kind of subject, value) -> topic
        self.goods: dict[str, str] = {}
        for entities in facts.entities.values():
            for entity in entities:
                name = getattr(entity.name, lang)
                self.names |= {name: entity, name[0].upper() + name[1:]: entity}
        for (kind, topic), values in facts.values.items():
            for value in values:
                # Towns and people are told apart by the words before them.
                if topic not in BEFORE[lang]:
                    self.topics[kind, getattr(value, lang)] = topic
        for shop in facts.entities["shop"]:
            for fact in shop.facts:
                if attribute(fact) == "price":
                    self.goods[next(getattr(good, lang) for good in GOODS if fact == f"price of {good.en}")] = fact
        terms = {*self.names, *self.goods, *(value for _, value in self.topics)}
        border = r"\b" if lang == "en" else ""
        before = "|".join(f"(?P<{topic}>{words})" for topic, words in BEFORE[lang].items())
        self.pattern = re.compile(f"(?:(?:{before}) ?)?{border}(?P<term>{NUMBERS}|{trie(terms)}){border}")

    def claims(self, document: str) -> Iterator[Claim]:
        subject, item = None, ""
        waiting: list[tuple[str, str]] = []
        for found in self.pattern.finditer(document):
            term = found["term"]
            topic = next((name for name, words in found.groupdict().items() if words and name != "term"), "")
            if term in self.goods:
                item = self.goods[term]
            elif term in self.names and not topic:
                subject = self.names[term]
                yield from (Claim(subject, self.topic(subject, value, given, item), value) for value, given in waiting)
                waiting = []
            elif subject is None:
                waiting.append((term, topic))
            else:
                yield Claim(subject, self.topic(subject, term, topic, item), term)

    def topic(self, subject: Entity, value: str, given: str, item: str) -> str:
        found = given if value in self.names else self.topics.get((subject.kind, value), "nothing")
        return item if found == "price" else found


def trie(words: Iterable[str]) -> str:
    """A pattern of any of `words`, the longest first, that shares their beginnings: much faster than a list."""
    branches: dict[str, list[str]] = {}
    words = set(words)
    for word in sorted(words - {""}):
        branches.setdefault(word[0], []).append(word[1:])
    inner = "|".join(re.escape(first) + trie(rest) for first, rest in branches.items())
    if not inner:
        return ""
    return f"(?:{inner})?" if "" in words else f"(?:{inner})"
