"""The machinery, on a grammar small enough to write out."""

import math

import pytest

from liuli.world.grammar import GrammarChoice, GrammarState, check_prefix_free, find_floor, make_choice, read, write


class Toss:
    """Heads twice, tails once as often; three tosses, then the end. Heads owes an exclamation mark."""

    pieces = make_choice("wording", ["H", "T"], [2, 1])

    def choice(self, state: GrammarState) -> GrammarChoice:
        return self.pieces

    def after(self, state: GrammarState, i: int) -> GrammarState:
        told = state.told + 1
        return GrammarState(self if told < 3 else None, "!" if i == 0 and told < 3 else "", told=told)


START = GrammarState(Toss())


def test_pieces_must_be_prefix_free():
    check_prefix_free(["李明", "王婶"])
    for clash in (["李明", "王婶", "李明月"], ["March 15", "March 1"], ["a", "a"], ["", "a"], []):
        with pytest.raises(AssertionError):
            check_prefix_free(clash)


def test_writing_is_reading_backwards():
    assert write(START, iter([0.0, 0.5, 0.7]).__next__) == "H!H!T"
    assert write(START, lambda: 1 - 2**-53) == "TTT"
    assert [place for _, _, place in read(START, "H!H!T")] == [0, 1, 3, 5]
    assert [choice is None for _, choice, _ in read(START, "TTT")] == [False, False, False, True]
    assert [place for _, _, place in read(START, "H!X")] == [0, 1]
    assert [place for _, _, place in read(START, "HT")] == [0, 1]  # the mark that is owed is missing


def test_each_piece_gets_its_share_of_the_unit_interval():
    choice = make_choice("habit", ["a", "b", "c"], [3, 1, 1])
    assert [choice.probability(i) for i in range(3)] == [0.6, 0.2, 0.2]
    assert choice.nats(0) == pytest.approx(-math.log(0.6))
    once = GrammarState(Once(choice))
    assert [write(once, lambda u=u: u) for u in (0.0, 0.599, 0.6, 0.799, 0.8, 1 - 2**-53)] == list("aabbcc")


class Once:
    def __init__(self, choice: GrammarChoice):
        self.only = choice

    def choice(self, state: GrammarState) -> GrammarChoice:
        return self.only

    def after(self, state: GrammarState, i: int) -> GrammarState:
        return GrammarState(None)


def test_the_floor_by_hand():
    floor = find_floor(START)
    entropy = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert floor.nats["wording"] == pytest.approx(3 * entropy, abs=1e-12)
    assert floor.choices == {"wording": 3, "entity": 0, "fact": 0, "habit": 0}
    assert floor.bytes == pytest.approx(3 + 2 * 2 / 3, abs=1e-12)
    assert floor.bits_per_byte == pytest.approx(3 * entropy / math.log(2) / (3 + 4 / 3))
