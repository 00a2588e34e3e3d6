"""What documents say, read back by `reader.py`, which shares nothing with their writer but the facts."""

from collections import Counter

import pytest
from helpers.world_reader import Claim, Reader, is_told

from liuli.world import World
from liuli.world.grammar import read
from liuli.world.steps import ClueValue


def assert_no_lie(world: World, size: int) -> None:
    reader, read_bytes = Reader(world.facts), 0
    for document in world.documents(1_000_000, seed=3):
        assert not reader.lies(document), document
        read_bytes += len(document.encode())
        if read_bytes >= size:
            return
    raise AssertionError("too few documents")


def test_no_fact_is_contradicted_in_50_mb(both):
    """Nor an untold one said: the reader takes only told facts for true."""
    assert_no_lie(both, 50_000_000)


def test_no_fact_is_contradicted_in_a_large_world(large):
    assert_no_lie(large, 4_000_000)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_fact_is_contradicted_in_other_worlds(seed):
    assert_no_lie(World("begin", seed), 1_000_000)


@pytest.mark.parametrize("size", ["both", "large"])
def test_the_reader_misses_nothing(size, request):
    """It finds as many claims as values were written: else it could not find the false ones."""
    world = request.getfixturevalue(size)
    reader = Reader(world.facts)
    for document in world.documents(2000, seed=1):
        written = sum(
            choice is not None and (choice.kind in ("fact", "habit") or isinstance(state.step, ClueValue))
            for state, choice, _ in read(world.start, document)
        )
        assert len(reader.claims(document)) == written, document


def test_the_reader_finds_lies(both):
    """Every value exchanged for another one of its attribute is found, in either language; so is what is never told."""
    reader = Reader(both.facts)
    for kind, entities in both.facts.entities.items():
        for entity in entities:
            for fact in entity.facts:
                said = Claim(entity, fact, entity.facts[fact].zh)
                assert is_told(said) == (fact in entity.told), (kind, fact)
    for true, false in (("过山车", "摩天轮"), ("大风车", "碰碰车")):
        assert not reader.lies(f"小明今天去游乐园玩{true}。")
        assert [claim.topic for claim in reader.lies(f"小明今天去游乐园玩{false}。")] == ["ride"]
    home = both.facts.entities["person"][0].facts["home"]
    wrong = next(town.name for town in both.facts.entities["town"] if town.name != home)
    assert not reader.lies(f"Ming lives in {home.en}.")
    assert [claim.topic for claim in reader.lies(f"Ming lives in {wrong.en}.")] == ["home"]
    assert [claim.topic for claim in reader.lies(f"猜人名：家在{wrong.zh}。原来是小明。")] == ["home"]


def test_habits_are_as_frequent_as_stated(both):
    """Over 20,000 documents: chi-squared over every habit of everyone, at a level of 0.001."""
    reader = Reader(both.facts)
    counts = Counter(claim for document in both.documents(20_000, seed=5) for claim in reader.claims(document))
    statistic, freedom = 0.0, 0
    for entities in both.facts.entities.values():
        for entity in entities:
            for habit, values in entity.habits.items():
                seen = [sum(counts[Claim(entity, habit, text)] for text in set(value)) for value in values]
                expected = [sum(seen) * weight / sum(values.values()) for weight in values.values()]
                assert min(expected) >= 5
                statistic += sum((n - e) ** 2 / e for n, e in zip(seen, expected, strict=True))
                freedom += len(seen) - 1
    assert freedom > 150
    assert abs(statistic - freedom) < 3.29 * (2 * freedom) ** 0.5  # normal for so many degrees of freedom
