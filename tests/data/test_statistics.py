"""A look at a corpus, held to counts made the slow way."""

import json
import statistics
import unicodedata
from collections import Counter

import pytest
from helpers.corpora import LONG, jsonl, text_of, write
from hypothesis import given
from hypothesis import strategies as st

from liuli.data.split import held_out, split_texts
from liuli.data.text.sources import Sources
from liuli.data.text.statistics import CharacterCounts, CorpusStatistics, EvenSampler, corpus_statistics
from liuli.errors import LiuliError
from liuli.tokens.scripts import SCRIPTS, kind_of, script_of


def look_at(*names, how: str = "content", **settings) -> CorpusStatistics:
    return corpus_statistics(split_texts(Sources([str(name) for name in names], **settings), how))


def test_all_numbers(tmp_path):
    texts = [f"第{i}篇 text {'长' * (i * i % 50)}!\n" for i in range(300)] + ["第3篇 text 长长长长长长长长长!\n"]
    long = text_of("mixed", 90_000, 1).decode()
    write(tmp_path / "a.jsonl", jsonl(*({"text": text} for text in texts)) + "broken\n")
    write(tmp_path / "b.txt", "\ufeff" + long)
    write(tmp_path / "c.png", b"\x89PNG")
    found = look_at(tmp_path)
    everything = "".join(texts) + long
    lengths = sorted(map(len, [*texts, long]))
    blocks = texts + [document.text for document in Sources([str(tmp_path / "b.txt")]).documents()]
    held = [block for block in blocks if held_out(block)]
    assert found.documents == 302
    assert (found.total.blocks, found.total.characters) == (len(blocks), len(everything))
    assert found.total.bytes == len(everything.encode())
    assert (found.validation.blocks, found.validation.characters) == (len(held), len("".join(held)))
    assert found.validation.bytes == len("".join(held).encode())
    assert found.scripts == Counter(map(kind_of, everything))
    assert list(found.scripts.values()) == sorted(found.scripts.values(), reverse=True)
    assert found.distinct == len(set(everything))
    assert (found.lengths.min, found.lengths.max) == (lengths[0], lengths[-1])
    assert found.lengths.median == statistics.median(lengths)
    assert found.lengths.mean == pytest.approx(statistics.mean(lengths))
    assert found.lengths.p95 == lengths[286]  # the 287th of 302 is the first that 95 % do not exceed
    assert found.duplicates == 1
    assert found.dropped_marks == 1
    assert {(each.reason, each.count) for each in found.skipped} == {
        ("broken JSON", 1),
        ("unknown file type for text", 1),
    }
    assert look_at(tmp_path, dedup=True).documents == 301
    assert json.loads(json.dumps(found.to_json()))["lengths"]["max"] == len(long)


def test_validation_by_a_file_and_by_the_tail(tmp_path):
    write(tmp_path / "a.txt", "0123456789" * 10)
    write(tmp_path / "v.jsonl", jsonl({"text": "one"}, {"text": "two"}))
    by_file = look_at(tmp_path / "a.txt", how=str(tmp_path / "v.jsonl"))
    assert (by_file.documents, by_file.total.characters, by_file.validation.characters) == (3, 106, 6)
    assert by_file.lengths.min == 3 and by_file.lengths.max == 100
    by_tail = look_at(tmp_path / "a.txt", how="tail:0.25")
    assert (by_tail.documents, by_tail.total.characters, by_tail.validation.characters) == (1, 100, 25)
    assert by_tail.lengths.max == 100


def test_a_divided_block_is_one(tmp_path):
    write(tmp_path / "a.txt", "01234")
    found = look_at(tmp_path / "a.txt", how="tail:0.4")
    assert (found.documents, found.total.blocks, found.validation.blocks, found.validation.characters) == (1, 1, 1, 2)
    assert [(excerpt.text, excerpt.cut) for excerpt in found.samples] == [("01234", False)]


def test_text_on_both_sides_is_counted(tmp_path):
    write(tmp_path / "a.jsonl", jsonl(*({"text": f"line {i}"} for i in range(9)), {"text": LONG}))
    write(tmp_path / "copy" / "b.jsonl", jsonl({"text": "line 3"}, {"text": "line"}))
    write(tmp_path / "copy" / "c.txt", LONG)
    assert look_at(tmp_path / "a.jsonl", how=str(tmp_path / "copy")).shared == 2
    said = r"the training data contains 2 validation documents, the first at .*b.jsonl:1: remove such documents"
    with pytest.raises(LiuliError, match=said):
        look_at(tmp_path / "a.jsonl", how=str(tmp_path / "copy"), strict=True)


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        ("金木々〇〻䶵𠀀豈⼀", "Han"), ("aZéßＡªʰ", "Latin"), ("ひ", "Hiragana"), ("カｶー", "Katakana"), ("한", "Hangul"),
        ("дЖ", "Cyrillic"), ("αΩµ", "Greek"), ("ا", "Arabic"), ("0９٣½²", "digits"), ("。，.!—“《", "punctuation"),
        ("+$€©😀", "symbols"), (" \n\t\r\u3000\xa0\u2028", "white space"), ("\u0301", "marks"),
        ("ʼˇ\x07\u200b\ue000\U0010ffff", "other"),
    ],
)  # fmt: skip
def test_scripts(characters, name):
    assert {character: kind_of(character) for character in characters} == dict.fromkeys(characters, name)


def test_every_character_has_a_script():
    for code in (code for code in range(0x110000) if not 0xD800 <= code < 0xE000):
        kind = kind_of(chr(code))
        assert kind, hex(code)
        assert script_of(chr(code)) == (kind if kind in SCRIPTS else "other")  # a tokenizer's report says the same
        if unicodedata.name(chr(code), "").startswith("CJK UNIFIED"):
            assert kind == "Han"


@given(st.lists(st.text()))
def test_characters_are_counted_exactly(texts):
    counted = CharacterCounts()
    assert [counted.add(text) for text in texts] == [len(text.encode()) for text in texts]
    assert counted.scripts() == Counter(kind_of(character) for text in texts for character in text)
    assert counted.distinct == len(set("".join(texts)))


@pytest.mark.parametrize("count", [1, 3, 5, 6, 19, 20, 21, 40, 41, 1000, 12_345])
def test_samples_lie_at_even_distances(count):
    samples = EvenSampler[int]()
    for i in range(count):
        samples.add(i)
    places = samples.chosen()
    assert len(places) == min(5, count)
    assert places[0] == 0
    steps = [b - a for a, b in zip(places, [*places[1:], count], strict=True)]
    assert max(steps) <= 2 * min(steps) + 1 or count < 20


def test_an_excerpt_is_the_beginning_of_a_block_and_not_white_space(tmp_path):
    path = tmp_path / "texts.jsonl"
    texts = ["one", " \n" * 200 + "two", "x" * 201]
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    samples = corpus_statistics(split_texts(Sources([str(path)]), "tail:0.5")).samples
    assert [(sample.text, sample.cut) for sample in samples] == [("one", False), ("x" * 200, True)]


def test_real_text(data):
    found = look_at(data / "text")
    assert found.total.bytes > 15_000_000
    assert found.scripts["Han"] > 2_500_000
    assert found.skipped and found.skipped[0].count > 50_000
