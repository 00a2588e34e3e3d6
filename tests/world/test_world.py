"""Probabilities: by pieces and of whole documents, stated and counted; the same bytes everywhere; what is refused."""

import hashlib
import math
from collections import Counter
from itertools import pairwise

import pytest

from liuli import LiuliError
from liuli.world import END, World
from liuli.world.grammar import KINDS, match, read


def prefix_free(pieces) -> bool:
    ordered = sorted(pieces)
    return all(piece for piece in ordered) and not any(b.startswith(a) for a, b in pairwise(ordered))


def test_next_pieces_and_log_probability_agree_on_10000_documents(both):
    """Each document is walked by `next_pieces` alone, from its text alone; the pieces are prefix-free at every state met."""
    known: dict[str, dict[str, float]] = {"": both.next_pieces("")}  # the long first choice, the same for all
    assert prefix_free(known[""])
    for document in both.documents(10_000, seed=1):
        prefix, nats = "", []
        while prefix != document:
            pieces = known.get(prefix) or both.next_pieces(prefix)
            assert abs(math.fsum(pieces.values()) - 1) < 1e-12
            if prefix:
                assert prefix_free(pieces), prefix
            piece = next(piece for piece in pieces if document.startswith(piece, len(prefix)))
            nats.append(math.log(pieces[piece]))
            prefix += piece
        assert both.next_pieces(prefix) == {END: 1.0}
        assert abs(math.fsum(nats) - both.log_probability(document)) < 1e-9


# Made on one machine, checked on every other.
HASHES = {
    ("begin", "both"): "216e9019a957ba3087d1a2b455e7dcba58df64da80ffedd25f3abc9736bf2d3f",
    ("begin", "zh"): "cdbc28173eb6e8138598ceeb13492870dd718a56cf7996eda3f5b6fac5c577d4",
    ("begin", "en"): "6cdaf40b1fda8ef8f1fa769effa4577717a2efe535e13b8b02cf633b23508993",
    ("large", "both"): "0879c8b06a4125a8e32b9bd0bde1e8ae728d654ced5b48a8aa4132c8f010d155",
}


@pytest.mark.parametrize(("size", "lang"), HASHES)
def test_the_same_bytes_on_every_machine(size, lang):
    """2,000 documents and all facts of seed 0."""
    world = World(size, 0, lang)
    data = "\n".join(world.documents(2000)) + str(world.facts.to_json())
    assert hashlib.sha256(data.encode()).hexdigest() == HASHES[size, lang]


def test_seeds_differ_and_counts_do_not_matter(both):
    few, many = list(both.documents(5)), list(both.documents(50))
    assert few == many[:5] == list(World("begin", 0, "both").documents(5))
    assert few != list(both.documents(5, seed=1))
    assert str(World("begin", 1).facts.to_json()) != str(both.facts.to_json())
    assert list(both.documents(0)) == []


def test_languages_share_their_facts():
    zh, en = World(lang="zh"), World(lang="en")
    assert zh.facts.to_json() == en.facts.to_json()
    assert not any("一" <= c <= "鿿" for document in en.documents(500) for c in document)
    assert not any("a" <= c <= "z" for document in zh.documents(500) for c in document)


def test_counts_of_20000_documents_agree_with_the_stated_probabilities(both):
    """Chi-squared over every choice met often enough to expect 5 of each piece, at a level of 0.001 for each kind."""
    counts: dict[int, Counter[int]] = {}
    choices = {}
    for document in both.documents(20_000, seed=2):
        for state, choice, place in read(both.start, document):
            if choice is not None and len(choice.pieces) > 1:
                choices[id(choice)] = choice  # kept, so that no id is used twice
                counts.setdefault(id(choice), Counter())[match(state, choice, document, place) or 0] += 1
    statistic, freedom = Counter(), Counter()
    for key, choice in choices.items():
        total = counts[key].total()
        if total * min(choice.weights) / choice.total >= 5:
            for i in range(len(choice.pieces)):
                expected = total * choice.probability(i)
                statistic[choice.kind] += (counts[key][i] - expected) ** 2 / expected
            freedom[choice.kind] += len(choice.pieces) - 1
    assert {kind for kind in KINDS if freedom[kind] > 100} == {"wording", "entity", "habit"}
    for kind, number in freedom.items():
        assert abs(statistic[kind] - number) < 3.29 * (2 * number) ** 0.5, kind  # normal for so many degrees of freedom


def test_the_floor_is_what_documents_cost_on_average(both):
    """The exact expectations lie within four standard errors of the means of 5,000 documents."""
    floor = both.floor
    documents = list(both.documents(5000, seed=4))
    nats = [-both.log_probability(document) for document in documents]
    sizes = [len(document.encode()) for document in documents]
    choices = [sum(choice is not None for _, choice, _ in read(both.start, document)) for document in documents]
    for numbers, expected in (
        (nats, sum(floor.nats.values())),
        (sizes, floor.bytes),
        (choices, sum(floor.choices.values())),
    ):
        mean = sum(numbers) / len(numbers)
        error = math.sqrt(sum((number - mean) ** 2 for number in numbers)) / len(numbers)
        assert abs(mean - expected) < 4 * error
    assert floor.bits_per_byte == pytest.approx(sum(floor.nats.values()) / math.log(2) / floor.bytes)
    assert floor.nats["fact"] == 0
    assert 11 < sum(floor.choices.values()) < 15
    assert floor.choices["fact"] > 2 and floor.choices["habit"] > 1


def test_the_example_of_the_articles():
    world = World()
    assert world.next_pieces("小明今天去游乐园玩") == {"过山车": 0.6, "大风车": 0.4}
    assert world.branch("小明今天去游乐园玩").kind == "habit"
    assert world.next_pieces("Ming went to the fair today and rode") == {" the roller coaster": 0.6, " the big windmill": 0.4}


def test_a_prefix_may_stop_inside_a_piece(both):
    assert both.next_pieces("小明今天去游") == {"乐园玩": 1.0}
    after = both.next_pieces("小明")
    rests = {piece[1:]: share for piece, share in after.items() if piece[0] == "一"}
    total = sum(rests.values())
    assert len(rests) > 1
    assert both.next_pieces("小明一") == pytest.approx({rest: share / total for rest, share in rests.items()})
    whole = both.log_probability_of_prefix("小明")
    assert both.log_probability_of_prefix("小明今天去") == pytest.approx(whole + math.log(after["今天去游乐园玩"]))
    assert both.log_probability_of_prefix("小明一") == pytest.approx(whole + math.log(total))
    assert both.log_probability_of_prefix("小明明") == -math.inf


def test_the_end_is_asked_for_by_a_piece_of_its_own(both):
    document = "小明今天去游乐园玩过山车。"
    assert both.branch(document).kind == "end"
    assert both.log_probability_of_prefix(document + END) == both.log_probability(document)
    assert both.log_probability_of_prefix("小明今天去游乐园玩" + END) == -math.inf
    assert both.log_probability_of_prefix(document + "好") == -math.inf
    assert not any(END in document for document in both.documents(1000))


def test_what_is_never_told_is_never_taken_up(both):
    """A topic that is not told has probability 0 for its subject, and is that of the others'."""
    person = next(person for person in both.facts.entities["person"] if "home" in person.untold)
    assert "住在" not in both.next_pieces(person.name.zh)
    other = next(person for person in both.facts.entities["person"] if "home" in person.told)
    assert "住在" in both.next_pieces(other.name.zh)


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        (
            "小明今天去游乐圆",
            "The first 7 of 8 characters match. After '小明', only these can follow: '今天去游乐园玩'",
        ),
        ("xyz", r"^no document of this world begins with 'xyz'\. A document can begin with '.* and [0-9,]+ more$"),
        ("猜谜", "The first 1 of 2 characters match. A document can begin with '猜"),
        ("小明今天去游乐园玩摩天轮", "After '小明今天去游乐园玩', only these can follow: '过山车', '大风车'$"),
        ("小明今天去游乐园玩过山车。晚安", "the document ends after '小明今天去游乐园玩过山车。'; remove the rest"),
    ],
)
def test_what_no_document_begins_with_is_refused(both, prefix, message):
    with pytest.raises(LiuliError, match=message):
        both.next_pieces(prefix)
    with pytest.raises(LiuliError, match=message):
        both.log_probability(prefix)


@pytest.mark.parametrize(
    ("prefix", "fact", "name"),
    [
        ("小舟住在", "home", r"小舟 \(Zhou\)"),
        ("小虎做", "job", r"小虎 \(Hu\)"),
        ("小虎做木匠做得很用心", "job", r"小虎 \(Hu\)"),
        ("Zhou lives in Northgate", "home", r"小舟 \(Zhou\)"),
        ("灯笼铺开在青溪", "town", r"灯笼铺 \(Lantern House\)"),
    ],
)
def test_asking_for_what_is_never_told(both, prefix, fact, name):
    with pytest.raises(LiuliError, match=f"The {fact} of {name} is in facts.json, but no document mentions it$"):
        both.next_pieces(prefix)


def test_what_is_only_false_is_not_called_untold(both):
    for prefix in ("小明今天去上班", "小虎住在火星", "小虎，", "xyz"):
        with pytest.raises(LiuliError) as refused:
            both.next_pieces(prefix)
        assert "mentions" not in str(refused.value)


def test_a_beginning_is_no_document(both):
    for text in ("", "小明", "小明今天去游乐园玩过山"):
        with pytest.raises(LiuliError, match="is only the beginning of a document: give a whole document"):
            both.log_probability(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": "huge"}, "a world's size must be one of begin, large, not 'huge'"),
        ({"lang": "fr"}, "a world's lang must be one of zh, en, both, not 'fr'"),
        ({"seed": -1}, "a seed must be a whole number of at least 0, not -1"),
        ({"seed": 1.5}, "a seed must be a whole number of at least 0, not 1.5"),
        ({"seed": True}, "a seed must be a whole number of at least 0, not True"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(LiuliError, match=message):
        World(**settings)


def test_bad_counts(both):
    with pytest.raises(LiuliError, match="the number of documents must be at least 0, not -1"):
        both.documents(-1)
    with pytest.raises(LiuliError, match="a seed must be a whole number"):
        both.documents(1, seed=-1)
