"""The report on a tokenizer: its sums are the text's, its shares are counted by hand, and it can be read."""

import json

import pytest
from helpers.token_samples import ODD, bilingual
from hypothesis import given, settings
from hypothesis import strategies as st

from liuli.errors import LiuliError
from liuli.tokens import open_tokenizer
from liuli.tokens.report import TokenizerReport, report
from liuli.tokens.scripts import script_of, script_of_text
from liuli.tokens.train import LEAST, train


@pytest.fixture(scope="module", params=["bpe", "char"])
def tokenizer(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reported")
    train(bilingual(), request.param, 500 if request.param == "bpe" else 290).write(folder)
    return open_tokenizer(folder)


def rows(found: TokenizerReport):
    return {row.script: row for row in found.scripts}


@pytest.mark.parametrize(
    ("characters", "script"),
    [("中龘𠮷々〇〻豈⼀", "Han"), ("aZéßŁａª", "Latin"), ("09٣½Ⅷ２", "digits"), (" \n，。✝か한я\x00", "other")],
)
def test_scripts(characters, script):
    assert {script_of(character) for character in characters} == {script}


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), max_size=5))
@settings(max_examples=100, deadline=None)
def test_the_rows_add_up_to_the_text(tokenizer, texts):
    found = report(tokenizer, texts)
    whole = "".join(texts)
    assert found.tokens == sum(row.tokens for row in found.scripts) == sum(len(tokenizer.encode(text)) for text in texts)
    assert found.bytes == sum(row.bytes for row in found.scripts) == len(whole.encode())
    assert found.characters == sum(row.characters for row in found.scripts) == len(whole)


def test_shares_of_characters_that_are_one_token(tmp_path):
    train(["今今今天天天 aab"] * 3, "char", LEAST + 3).write(tmp_path)  # 今, 天 and a
    found = rows(report(open_tokenizer(tmp_path), ["今今今今天好气", "aaab 12"]))
    assert (found["Han"].distinct, found["Han"].single, found["Han"].single_weighted) == (4, 2 / 4, 5 / 7)
    assert (found["Han"].tokens, found["Han"].bytes, found["Han"].characters) == (5 + 2 * 3, 21, 7)
    assert found["Latin"].single == found["digits"].single == 1  # a byte is one token too
    assert found["Latin"].characters_per_token == found["digits"].bytes_per_token == 1


@pytest.mark.parametrize(("text", "script"), [(" 今a", "Han"), ("'t", "Latin"), (" \n，", "other"), ("", "other")])
def test_signs_and_spaces_go_with_what_follows(text, script):
    assert script_of_text(text) == script


def test_a_space_goes_with_its_word(tmp_path):
    train([" the the the 今天今天", " the"] * 9, "bpe", LEAST + 3).write(tmp_path)
    found = rows(report(open_tokenizer(tmp_path), [" the the"]))
    assert list(found) == ["Latin"]
    assert (found["Latin"].tokens, found["Latin"].bytes, found["Latin"].bytes_per_token) == (2, 8, 4)
    assert [token.text for token in found["Latin"].longest] == [" the", "the", "he"]


def test_unused_and_broken_pieces(tmp_path):
    train(["今天今天今天", " the the"] * 9, "bpe", LEAST + 8).write(tmp_path)
    tokenizer = open_tokenizer(tmp_path)
    found = report(tokenizer, ["今天"])
    pieces = [tokenizer.token(id) for id in range(LEAST, LEAST + 8)]
    assert found.pieces == 8
    assert found.unused == [piece for piece in pieces if piece.id not in tokenizer.encode("今天")]
    assert found.broken == [piece for piece in pieces if "\ufffd" in piece.text]
    assert found.unused and found.broken


def test_any_tokenizer_can_be_reported_on(layout):
    found = report(layout.tokenizer, ODD)
    assert found.characters == sum(map(len, ODD))
    assert found.tokens == sum(len(layout.tokenizer.encode(text)) for text in ODD)


def test_json(tokenizer):
    found = report(tokenizer, bilingual(100))
    body = json.loads(json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False))
    assert set(body) == {
        "kind", "vocab_size", "tokens", "bytes", "characters", "pieces", "unused", "broken", "scripts",
    }  # fmt: skip
    assert [row["script"] for row in body["scripts"]] == ["Han", "Latin", "digits", "other"]
    assert all(row["bytes_per_token"] == row["bytes"] / row["tokens"] for row in body["scripts"])
    assert all(set(piece) == {"id", "text", "bytes"} for row in body["scripts"] for piece in row["longest"])


def test_a_lone_surrogate_is_refused(tokenizer):
    with pytest.raises(LiuliError, match="lone surrogate"):
        report(tokenizer, ["\ud800"])
