"""How a text becomes tokens: the steps lead to the ids of the library `tokenizers`, in every kind of tokenizer."""

import pytest
import tokenizers
from helpers import oracles, pairs

from liuli import LiuliError, load
from liuli.inside.passage import read_passage
from liuli.inside.tokens import tokens
from liuli.tokens.trace import replay


def test_the_steps_lead_to_the_ids(tiny, tiny_folder):
    text = "the 金 12 a<|endoftext|>ST"
    view = tokens(tiny, text)
    theirs = tokenizers.Tokenizer.from_file(str(tiny_folder / "tokenizer.json")).encode(text)
    assert view.ok and list(view.input.ids) == theirs.ids
    assert replay(list(view.chunks)) == theirs.ids[1:]  # the begin token is no step
    assert [join.result.text for chunk in view.chunks for join in chunk.joins][:2] == ["th", "the"]
    assert (view.characters, view.bytes) == (len(text), len(text.encode()))


def test_characters_of_several_tokens(tiny):
    read = tokens(tiny, "刚🙂").input
    assert [(token.shown, token.part) for token in read.tokens[1:]] == [
        *(("刚", (k, 3)) for k in range(3)),
        *(("🙂", (k, 4)) for k in range(4)),
    ]
    assert [token.span for token in read.tokens] == [(0, 0), *[(0, 1)] * 3, *[(1, 2)] * 4]
    assert b"".join(bytes(token.bytes) for token in read.tokens).decode() == "刚🙂"


def test_special_tokens_in_a_text(tiny):
    read = tokens(tiny, "a<|endoftext|>b").input
    assert [(token.text, token.special, token.span) for token in read.tokens[2:3]] == [("<|endoftext|>", True, (1, 14))]


def test_texts_of_other_tokenizers(tiny, tmp_path):
    other = load(pairs.save_base(tmp_path / "other"))
    view = tokens(tiny, "小明 the", [other, tiny])
    assert [each.path for each in view.others] == [other.path, tiny.path]
    assert list(view.others[0].input.ids) == other.tokenizer.encode("小明 the", prompt=True)
    assert view.others[1].input == view.input and view.others[0].vocab_size == other.tokenizer.vocab_size


@pytest.mark.parametrize("name", ["minimind", "qwen", "llama2", "bert"])
def test_real_tokenizers(data, tiny, name):
    folder = next((path.parent for path in sorted((data / "tokenizers").glob(f"*{name}*/*")) if path.is_file()), None)
    if folder is None:
        pytest.skip(f"there is no tokenizer {name}")
    from liuli import open_tokenizer
    from liuli.generate.model import Model

    model = Model(name, tiny.folder, tiny.decoder, open_tokenizer(folder, "qwen" if name == "qwen" else None))
    for text in ("黄金首饰和变形金刚", "The capital of France is Paris.", "  two  spaces\n\tand 🙂", "A\u0000b\u202e\u200bc"):
        view = tokens(model, text)
        assert view.ok, view.checks


def test_wordpiece_and_the_characters_that_it_removes(tmp_path):
    folder = oracles.save_family("llama2", tmp_path / "words")
    (folder / "tokenizer.json").unlink()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "a"]
    (folder / "vocab.txt").write_text("\n".join(words))
    model = load(folder)
    view = tokens(model, "a playing\u0000 a\u202e")
    assert view.ok and [match.piece.text for chunk in view.chunks for match in chunk.matches] == ["a", "play", "ing", "a"]


# Control characters and bidirectional characters: shown as they are in the data; a terminal or a page escapes them

HOSTILE = "\x1b[31m\x9b2J\u202eabc\u2066<script>&amp;\x00\r\n\u2028🏳️‍🌈"


def test_hostile_characters(tiny):
    view = tokens(tiny, HOSTILE)
    assert view.ok and "".join(view.input.text) == HOSTILE
    assert b"".join(bytes(token.bytes) for token in view.input.tokens) == HOSTILE.encode()


# Passages


def test_the_tokens_at_a_place_of_the_text(tiny):
    read = read_passage(tiny, "the cat the")
    assert read.occurrences("the") == [0, 8]
    assert read.tokens_at(0, 3) == (1, 2)
    assert read.tokens_at(4, 7) == (3, 6) and read.covered(3, 6) == "cat"
    assert read.tokens_at(2, 5) == (1, 4) and read.covered(1, 4) == "the c"


def test_texts_that_cannot_be_read(tiny, tmp_path):
    with pytest.raises(LiuliError, match=r"^129 tokens do not fit the context of 128 tokens of .*: give a shorter text$"):
        read_passage(tiny, "a" * 128)
    assert len(read_passage(tiny, "a" * 127).ids) == 128
    assert read_passage(tiny, "").ids == (0,)  # the begin token
    with pytest.raises(LiuliError, match="lone surrogate"):
        read_passage(tiny, "a\ud800")
    without_begin = load(pairs.save_base(tmp_path / "base"))
    without_begin.tokenizer.begin = []
    with pytest.raises(LiuliError, match=r"^the text has no tokens: give a text of at least one character$"):
        read_passage(without_begin, "")
