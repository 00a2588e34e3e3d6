"""The facts: how many, how many untold, what the languages have for each."""

import json
import re

import pytest

from liuli.world import World
from liuli.world.en import ENGLISH
from liuli.world.facts import FACTS, HABITS, attribute, make_facts
from liuli.world.grammar import check_prefix_free
from liuli.world.language import fill
from liuli.world.lexicon import FESTIVALS
from liuli.world.zh import CHINESE

LANGUAGES = [CHINESE, ENGLISH]


@pytest.mark.parametrize(("size", "people", "towns"), [("begin", 60, 12), ("large", 1000, 24)])
def test_sizes(size, people, towns):
    facts = make_facts(size, 0)
    assert len(facts.entities["person"]) == people
    assert len(facts.entities["town"]) == towns
    assert all(len(person.facts) == 7 for person in facts.entities["person"])
    for entities in facts.entities.values():
        for lang in ("zh", "en"):
            assert len({getattr(entity.name, lang) for entity in entities}) == len(entities)


@pytest.mark.parametrize("size", ["begin", "large"])
def test_how_many_facts_are_untold(size):
    for kind, entities in make_facts(size, 0).entities.items():
        total = sum(len(entity.facts) for entity in entities)
        untold = sum(len(entity.untold) for entity in entities)
        if kind == "person":
            assert untold / total == 13 / 35
        else:
            assert 0.1 < untold / total < 0.3, kind


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", ["begin", "large"])
def test_many_seeds_make_a_world(size, seed):
    """Every choice that is known in advance is checked as the world is made; names and values too, below."""
    world = World(size, seed)
    for entities in world.facts.entities.values():
        for entity in entities:
            assert set(entity.untold) < set(entity.facts)
            assert entity.facts.get("friend") != entity.name
            assert entity.facts.get("train_to") != entity.name
    for values in world.facts.values.values():
        check_prefix_free([value.zh for value in values])
        check_prefix_free([value.en for value in values])


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)
def test_six_wordings_for_everything_that_can_be_said(language):
    for kind in FACTS:
        for topic in FACTS[kind] + HABITS[kind]:
            phrases = language.phrases["price" if attribute(topic) == "price" else kind]
            assert len(set(phrases[attribute(topic)])) >= 6, topic
            for template in phrases[attribute(topic)]:
                assert template.startswith(("{who}", "{whose}")), template
                assert template.count("{}") == 1, template


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)
def test_questions_for_everything_that_people_towns_and_animals_have(language):
    for kind in ("person", "town", "animal"):
        for topic in FACTS[kind] + HABITS[kind]:
            assert len(set(language.questions[kind][topic])) >= 3


def test_templates_are_filled():
    assert fill("{who} lives in {}", ENGLISH, "pronoun", "she") == "She lives in {}"
    assert fill("{whose} home is in {}", ENGLISH, "name", "she") == "'s home is in {}"
    assert fill("{who} lives in {}", ENGLISH, "shared", "she") == "lives in {}"
    assert fill("{whose} home is in {}", ENGLISH, "open", "she") is None
    assert fill("{whose}小屋在{}", CHINESE, "pronoun", "she") == "她的小屋在{}"
    assert fill("Where is {his} house?", ENGLISH, "pronoun", "he") == "Where is his house?"


@pytest.mark.parametrize("seed", range(10))
def test_festivals_keep_their_season(seed):
    """No snow lions in August: date and custom are of the festival's own months."""
    festivals = make_facts("begin", seed).entities["festival"]
    for festival, (name, months, customs) in zip(festivals, FESTIVALS, strict=True):
        assert festival.name == name
        assert int(festival.facts["date"].zh.split("月")[0]) in months
        assert festival.facts["custom"] in customs


PAST = re.compile(r" (was|had|went|ran|saw|woke|began|sat|drank|paid|spent|\w+ed)( |$)")


def test_english_clauses_that_are_joined_agree():
    """Facts are told in the present, so that any two can be joined; habits in the past."""
    for kind in FACTS:
        for topic in dict.fromkeys(map(attribute, FACTS[kind] + HABITS[kind])):
            for template in ENGLISH.phrases["price" if topic == "price" else kind][topic]:
                if template.startswith("{who}"):
                    in_past = PAST.search(template)
                    assert bool(in_past) == (topic in HABITS[kind]), template


def test_english_riddles_are_questions():
    """A riddle's clues end in a question mark, whoever is meant."""
    for document in World(lang="en").documents(3000, seed=6):
        if document.startswith(tuple(ENGLISH.sayings["riddle.open"] + ENGLISH.sayings["riddle.animal"])):
            assert document.count("?") >= 1
            assert "." not in document.split("?")[0]


def test_facts_as_json(both):
    body = json.loads(json.dumps(both.facts.to_json(), ensure_ascii=False))
    assert list(body) == ["person", "town", "animal", "shop", "festival"]
    ming = body["person"][0]
    assert ming["name"] == {"zh": "小明", "en": "Ming"}
    assert ming["habits"]["ride"] == [
        {"zh": "过山车", "en": "the roller coaster", "frequency": 0.6},
        {"zh": "大风车", "en": "the big windmill", "frequency": 0.4},
    ]
    assert {fact["told"] for fact in ming["facts"].values()} == {True, False}
