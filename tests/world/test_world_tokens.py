"""The truth in tokens, worked out by hand for tokenizers that were trained to cut as a test needs it."""

import math

import pytest

from liuli import LiuliError, open_tokenizer
from liuli.tokens.train import train
from liuli.world import END, World, floor_per_token, token_branch

FAIR = "小明今天去游乐园玩"


@pytest.fixture(scope="module")
def chinese() -> World:
    return World("begin", 0, "zh")


@pytest.fixture
def trained(tmp_path):
    def make(texts, kind="bpe", vocab_size=None):
        train(texts, kind, vocab_size).write(tmp_path)
        return open_tokenizer(tmp_path)

    return make


def test_the_floor_per_token_of_characters(chinese, trained):
    """Every character of the world is a token, and the end one more."""
    tokenizer = trained(chinese.documents(20_000), "char")
    counts = [len(document) + 1 for document in chinese.documents(500, seed=3)]
    mean = sum(counts) / 500
    error = math.sqrt(sum((count - mean) ** 2 for count in counts) / 499 / 500)
    found = floor_per_token(chinese, tokenizer, 500, seed=3)
    nats = sum(chinese.floor.nats.values())
    assert found.tokens == pytest.approx(mean)
    assert found.nats == pytest.approx(nats / mean)
    assert found.error == pytest.approx(nats / mean**2 * error)
    assert found.to_json() == {"nats": found.nats, "error": found.error, "tokens": found.tokens, "documents": 500}


def test_the_error_of_the_floor_is_one(chinese, trained):
    tokenizer = trained(chinese.documents(2000), vocab_size=2000)
    small, big = (floor_per_token(chinese, tokenizer, count, seed) for count, seed in ((400, 1), (10_000, 2)))
    assert small.error == pytest.approx(5 * big.error, rel=0.2)
    assert abs(small.nats - big.nats) < 4 * small.error
    with pytest.raises(LiuliError, match="from at least 2 documents, not 1"):
        floor_per_token(chinese, tokenizer, 1)


def test_next_tokens_that_are_characters(chinese, trained):
    tokenizer = trained(chinese.documents(20_000), "char")
    id = {character: tokenizer.encode(character)[0] for character in "过大"}
    found = token_branch(chinese, tokenizer, FAIR)
    assert found.tokens == pytest.approx({id["过"]: 0.6, id["大"]: 0.4})
    assert (found.ids, found.pieces, found.joined) == (tokenizer.encode(FAIR), {"过山车": 0.6, "大风车": 0.4}, ())
    by_hand: dict[int, float] = {}
    for piece, share in chinese.next_pieces("小明").items():
        first = tokenizer.encode(piece[0])[0]
        by_hand[first] = by_hand.get(first, 0.0) + share
    assert len(by_hand) < len(chinese.next_pieces("小明"))  # some pieces begin alike
    assert token_branch(chinese, tokenizer, "小明").tokens == pytest.approx(by_hand)


def test_a_token_across_the_prefix_means_that_no_next_token_exists(chinese, trained):
    """玩 and 过 were merged: after 玩 alone comes a token that the prefix does not end with."""
    tokenizer = trained(["玩过"] * 9, vocab_size=268)
    assert len(tokenizer.encode("玩过")) < len(tokenizer.encode("玩")) + len(tokenizer.encode("过"))
    found = token_branch(chinese, tokenizer, FAIR)
    assert found.tokens is None
    assert found.joined == ("过山车",)
    assert found.pieces == {"过山车": 0.6, "大风车": 0.4}
    assert found.to_json()["tokens"] is None


def test_a_token_across_a_piece_is_seen(chinese, trained):
    """会 is a piece and 会吹 a token: it follows where the value is 吹笛子, and not where it is 打手鼓."""
    tokenizer = trained(["会吹"] * 9, vocab_size=268)
    (merged,) = tokenizer.encode("会吹")
    people = [person for person in chinese.facts.entities["person"] if "music" in person.told]
    for wind in (True, False):
        person = next(person for person in people if person.facts["music"].zh.startswith("吹") == wind)
        found = token_branch(chinese, tokenizer, person.name.zh)
        assert found.tokens is not None
        assert math.fsum(found.tokens.values()) == pytest.approx(1)
        expected = chinese.next_pieces(person.name.zh)["会"] if wind else None
        assert found.tokens.get(merged) == (pytest.approx(expected) if wind else None)


def test_the_end_is_a_token(chinese, trained):
    tokenizer = trained(chinese.documents(20_000), "char")
    document = FAIR + "过山车。"
    assert token_branch(chinese, tokenizer, document).tokens == {tokenizer.end[0]: 1.0}
    assert token_branch(chinese, tokenizer, document).pieces == {END: 1.0}
    tokenizer.end = []
    with pytest.raises(LiuliError, match="no end token"):
        token_branch(chinese, tokenizer, document)
    with pytest.raises(LiuliError, match="no document of this world begins with"):
        token_branch(chinese, tokenizer, "小明明")
