"""What is held out: by content, whatever else is in the source; or a file; or the last characters."""

import hashlib
from itertools import pairwise

import pytest
from helpers.corpora import jsonl, text_of, write
from hypothesis import given, settings
from hypothesis import strategies as st

from liuli.data.split import SplitRule, TextSplit, held_out, split_texts
from liuli.data.text.sources import Document, Sources
from liuli.errors import LiuliError


def split(how: str, *names) -> TextSplit:
    return split_texts(Sources([str(name) for name in names]), how)


def sides(found: TextSplit) -> dict[str, bool]:
    """Each block's side; both streams give what the one pass gives."""
    both = list(found.documents())
    assert list(found.training()) == [document for held, document in both if not held]
    assert list(found.validation()) == [document for held, document in both if held]
    return {document.text: held for held, document in both}


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    write(folder / "novel.txt", text_of("paragraphs", 600_000, 3))
    write(folder / "lines.jsonl", jsonl(*({"text": f"short text {i}"} for i in range(500))))
    write(folder / "long.jsonl", jsonl({"text": text_of("lines", 100_000, 2).decode()}))
    return folder


def test_about_one_block_in_twenty_by_its_content(corpus):
    found = split("content", corpus)
    held = sides(found)
    for text, side in held.items():
        assert side == (int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) % 20 == 0) == held_out(text)
    assert 0.02 < sum(held.values()) / len(held) < 0.09
    assert found.how == "about one block in 20, chosen by a hash of its text"


def test_adding_and_editing_data_moves_no_other_block(corpus):
    before = sides(split("content", corpus))
    write(corpus / "a.txt", text_of("lines", 300_000, 3))
    write(corpus / "lines.jsonl", jsonl(*({"text": f"short text {i}"} for i in range(500, -200, -1))))
    novel = text_of("paragraphs", 600_000, 3).decode()
    write(corpus / "novel.txt", novel[:150_000] + "A paragraph put in.\n\n" + novel[150_000:400_000] + novel[400_500:])
    after = sides(split("content", corpus))
    assert all(after[text] == side for text, side in before.items() if text in after)
    gone = [text for text in before if text not in after]
    assert 1 <= len(gone) <= 6  # blocks at the two places of the edit, and no other


def test_where_a_block_is_held_out_the_part_jumps(corpus):
    held = {(document.number, document.part) for document in split("content", corpus).validation()}
    parts = [(document.number, document.part) for document in split("content", corpus).training()]
    assert any(part for _, part in held)
    assert sorted(held | set(parts)) == sorted([*held, *parts])
    for (number, part), (next_number, next_part) in pairwise(parts):
        if number == next_number:
            assert (next_part == part + 1) == ((number, part + 1) not in held)


@pytest.mark.parametrize("how", ["content", "tail:0.3"])
def test_training_goes_on_from_a_number(corpus, how):
    found = split(how, corpus)
    training = list(found.training())
    for start in (0, 1, 250, 499, 500, 501, 502, 999):
        assert list(found.training(start)) == [document for document in training if document.number >= start]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("ab金😀\n", min_size=1, max_size=30).filter(lambda t: not t.isspace()), min_size=1, max_size=8),
    st.integers(1, 99),
)
def test_a_tail_is_cut_at_exactly_that_character(tmp_path_factory, texts, percent):
    path = write(tmp_path_factory.mktemp("tail") / "a.jsonl", jsonl(*({"text": text} for text in texts)))
    everything = "".join(texts)
    if len(everything) < 2:
        return
    found = split(f"tail:{percent / 100}", path)
    training, validation = ("".join(document.text for document in side) for side in (found.training(), found.validation()))
    held = max(1, len(everything) * percent // 100)
    assert (training, validation) == (everything[:-held], everything[-held:])
    assert all(document.text for _, document in found.documents())


def test_both_sides_of_a_divided_part_have_its_number(tmp_path):
    path = write(tmp_path / "a.txt", "0123456789")
    found = split("tail:0.3", path)
    assert list(found.training()) == [Document("0123456", str(path), 0, 0, last=False)]
    assert list(found.validation()) == [Document("789", str(path), 0, 0, last=True, cut=True)]
    assert found.how == "the last 30% of the characters"


def test_a_tail_of_a_long_document(corpus):
    whole = (corpus / "novel.txt").read_bytes().decode()
    found = split("tail:0.1", corpus / "novel.txt")
    assert "".join(d.text for d in found.validation()) == whole[len(whole) - len(whole) // 10 :]
    assert "".join(d.text for d in found.training()) == whole[: len(whole) - len(whole) // 10]


@pytest.mark.parametrize("held", [True, False])
def test_a_corpus_too_small_says_so_and_holds_out_its_last_tenth(tmp_path, held):
    text = next(text for i in range(1000) if held_out(text := f"a small corpus, number {i}") == held)
    found = split("content", write(tmp_path / "a.txt", text))
    assert found.how == ("the last 10% of the characters, as there are too few blocks to choose one in 20 by a hash")
    assert [document.text for document in found.training()] == [text[:-2]]
    assert [document.text for document in found.validation()] == [text[-2:]]


def test_one_character_cannot_be_divided(tmp_path):
    path = write(tmp_path / "a.txt", "a")
    for how in ("content", "tail:0.1"):
        with pytest.raises(LiuliError, match="has only one character, so nothing can be held out: add text, or give"):
            split(how, path)


def test_a_file_is_all_validation_and_the_source_all_training(corpus, tmp_path):
    other = write(tmp_path / "valid.jsonl", jsonl({"text": "held"}, {"text": "out"}))
    found = split(str(other), corpus)
    assert [document.text for document in found.validation()] == ["held", "out"]
    assert list(found.training()) == list(Sources([str(corpus)]).documents())
    assert [held for held, _ in found.documents()].count(True) == 2
    assert found.how == f"all of {other}"
    assert next(found.training(7)).number == 7


def test_a_file_that_is_trained_on_cannot_be_held_out(corpus):
    with pytest.raises(LiuliError, match=r"novel.txt is in the training data and in the validation data: remove it from"):
        split(str(corpus / "novel.txt"), corpus)


@pytest.mark.parametrize("how", ["tail:", "tail:0", "tail:1", "tail:-0.1", "tail:x", "tail:nan", "tail:1/0", "tail:inf"])
def test_shares_that_are_none(how):
    with pytest.raises(LiuliError, match=r"the share to hold out must be a number between 0 and 1, as in tail:0.1"):
        SplitRule.parse(how)


@pytest.mark.parametrize("how", ["", "nowhere.txt", "tails:0.1"])
def test_files_that_are_none(how):
    with pytest.raises(LiuliError, match=r"there is no file .* to validate on; give a file, tail:0.1 or content"):
        SplitRule.parse(how)


def test_real_text(data):
    found = split("content", data / "text" / "zh" / "红楼梦.txt", data / "text" / "en" / "tinyshakespeare.txt")
    held = sides(found)
    assert 0.01 < sum(held.values()) / len(held) < 0.12
