"""`liuli tokenizer train` as a person types it."""

import json

import pytest

from liuli.cli.shared import visible
from liuli.tokens import open_tokenizer
from liuli.tokens.train import LEAST

TEXT = "今天天气真好，我们去公园。今天我们看书。The weather is good today, and they don't read in the park.\n" * 40


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_tokenizer_is_trained_and_told_of(liuli, corpus, tmp_path):
    out = tmp_path / "out"
    result = liuli("tokenizer", "train", corpus, "--out", out, "--vocab-size", 330)
    assert (result.code, result.err) == (0, "")
    first, *_ = result.out.splitlines()
    assert first == f"{out}: byte-level BPE, 330 tokens, trained on all of {len(TEXT.encode()):,} bytes"
    assert "longest Han: 今天天气  " in result.out
    assert not set("Ġäå½") & set(result.out)
    tokenizer = open_tokenizer(out)
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    written = (out / "tokenizer.json").read_bytes()
    assert liuli("tokenizer", "train", corpus, "--out", out, "--vocab-size", 330).code == 0
    assert (out / "tokenizer.json").read_bytes() == written


def test_what_is_whole_in_a_broken_piece_is_shown_whole():
    assert visible("\ufffd天 ", b"\x8a" + "天 ".encode()) == "<8A>天·"
    assert visible("\ufffd", "\ufffd".encode()) == "\ufffd"


def test_characters_as_json(liuli, corpus, tmp_path):
    result = liuli("tokenizer", "train", corpus, "--out", tmp_path / "out", "--kind", "char", "--json")
    body = json.loads(result.out)
    assert body["path"] == str(tmp_path / "out")
    assert body["sample"] == {"bytes": len(TEXT.encode()), "of_bytes": len(TEXT.encode()), "blocks": 1}
    assert body["report"]["vocab_size"] == LEAST + len(set(TEXT))
    assert body["report"]["tokens"] == body["report"]["characters"] == len(TEXT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--vocab-size", "262"], "need at least 263"),
        (["--vocab-size", "50000"], "use --vocab-size "),
        (["--kind", "word"], "choose bpe or char"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(liuli, corpus, tmp_path, options, message):
    result = liuli("tokenizer", "train", corpus, "--out", tmp_path / "out", *options)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_else_is_left_alone(liuli, corpus, tmp_path):
    result = liuli("tokenizer", "train", corpus, "--out", tmp_path)
    assert result.code == 2
    assert result.err == f"liuli: {tmp_path} holds other files (corpus.txt): name a new or an empty folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]
