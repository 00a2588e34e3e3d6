"""Streamed text: what `decode` gives, piece by piece, and never half a character."""

import pytest
from helpers.token_samples import ODD, WORDS, layouts, only, wordpiece_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from liuli.tokens import TextStream

modest = settings(deadline=None, derandomize=True, max_examples=40)
# Any text (st.text() makes no surrogates), and what is made of words that the vocabularies know.
TEXT = st.text() | st.lists(st.sampled_from([*WORDS, *ODD, " ", "\n", "▁", "👩‍👩‍👧‍👦", "ing", "##ing"]), max_size=6).map(
    "".join
)


def pushed(stream: TextStream, ids: list[int]) -> list[str]:
    return [stream.push(id) for id in ids]


@given(text=TEXT)
@modest
def test_pushes_join_to_the_decoded_text(layout, text):
    ids = layout.tokenizer.encode(text)
    stream = TextStream(layout.tokenizer)
    pushes = pushed(stream, ids)
    assert "".join(pushes) == layout.tokenizer.decode(ids)
    assert stream.finish() == ""


@given(text=TEXT)
@modest
def test_no_push_shows_half_a_character(layout, text):
    """Half a character would come out as U+FFFD; one that the text itself holds is none."""
    pushes = pushed(TextStream(layout.tokenizer), layout.tokenizer.encode(text))
    assert "".join(pushes).count("\ufffd") <= text.count("\ufffd")
    if layout.style != "words":
        assert layout.normal(text).startswith("".join(pushes))


@given(numbers=st.lists(st.integers(0, 10**6), max_size=12), special=st.booleans())
@modest
def test_any_ids_stream_to_the_decoded_text(layout, numbers, special):
    ids = [number % layout.tokenizer.vocab_size for number in numbers]
    stream = TextStream(layout.tokenizer, special=special)
    assert "".join(pushed(stream, ids)) + stream.finish() == layout.tokenizer.decode(ids, special=special)


@given(before=TEXT, text=TEXT)
@modest
def test_what_follows_a_prompt_continues_it(layout, before, text):
    tokenizer = layout.tokenizer
    prompt, ids = tokenizer.encode(before, prompt=True), tokenizer.encode(text)
    stream = TextStream(tokenizer, after=prompt)
    assert tokenizer.decode(prompt) + "".join(pushed(stream, ids)) == tokenizer.decode(prompt + ids)


@layouts("bytes", "spaced")
@given(text=TEXT)
@modest
def test_every_text_comes_back(layout, text):
    assert layout.tokenizer.decode(layout.tokenizer.encode(text)) == layout.normal(text)


@layouts("words")
@given(text=TEXT)
@modest
def test_wordpiece_loses_nothing_but_white_space_once_normal(layout, text):
    """Text that WordPiece has decoded once decodes to itself, but for its spaces."""
    once = layout.tokenizer.decode(layout.tokenizer.encode(text))
    if "[UNK]" not in once:
        again = layout.tokenizer.decode(layout.tokenizer.encode(once))
        assert "".join(again.split()) == "".join(once.split())


@only("qwen", "qwen-merges", "gpt2", "minimind", "llama2", "stories")
def test_a_character_of_many_tokens_comes_at_once(layout):
    """The family of 25 bytes: seven characters, each shown with its last token and not before."""
    family = "👩‍👩‍👧‍👦"
    ids = layout.tokenizer.encode(family)
    pushes = pushed(TextStream(layout.tokenizer), ids)
    assert len(ids) > len(family)
    assert "" in pushes
    assert "".join(pushes) == family
    assert all(push in family for push in pushes)


@only("small-bytes", "small-ranks", "small-merges", "small-sentencepiece", "small-spaced")
def test_a_character_that_never_becomes_whole(layout):
    ids = layout.tokenizer.encode("a龘")[:-1]  # in three bytes, of which two
    stream = TextStream(layout.tokenizer)
    assert "".join(pushed(stream, ids)) == "a"
    assert stream.finish() == "\ufffd"
    assert layout.tokenizer.decode(ids) == "a\ufffd"


@only("stories", "llama2", "small-spaced", "small-sentencepiece")
def test_sentencepiece_drops_one_space_at_the_very_beginning_only(layout):
    """The first piece carries the space that was put before the text; a first piece after a prompt is a new word."""
    tokenizer = layout.tokenizer
    word = tokenizer.encode("a")
    assert tokenizer.token(word[0]).bytes.startswith(b" ")
    assert "".join(pushed(TextStream(tokenizer), word)) == "a"
    assert "".join(pushed(TextStream(tokenizer, after=tokenizer.begin), word)) == "a"
    assert "".join(pushed(TextStream(tokenizer, after=tokenizer.encode("the", prompt=True)), word)) == " a"
    assert "".join(pushed(TextStream(tokenizer), word + word)) == "a a"


@layouts("words")
@pytest.mark.parametrize(
    ("before", "piece", "shown"),
    [
        ("", "world", "world"), ("hello", "world", " world"), ("hello", "##ing", "ing"), ("hello", ".", "."),
        ("hello", ",", ","), ("hello", "!", "!"), ("hello", "-", " -"), ("今", "天", "天"), ("今", "，", "，"),
        ("，", "今", "今"), ("hello", "今", " 今"), ("今", "world", " world"), ("", "##ing", "ing"),
        ("[CLS]", "world", "world"), ("hello[SEP]", "world", " world"),
    ],
)  # fmt: skip
def test_wordpiece_spaces_words_but_not_chinese(layout, before, piece, shown):
    tokenizer = layout.tokenizer
    id = pieces_of(layout).index(piece)
    after = tokenizer.encode(before, prompt=True)
    assert TextStream(tokenizer, after=after).push(id) == shown


def pieces_of(layout) -> list[str]:
    """The pieces of a WordPiece layout by id."""
    path = layout.folder / "vocab.txt"
    return path.read_text(encoding="utf-8").split("\n") if path.is_file() else wordpiece_lines()


@only("small-bytes")
def test_special_tokens_show_only_when_asked(layout):
    tokenizer = layout.tokenizer
    ids = tokenizer.encode("<s>the</s>", prompt=True)
    assert pushed(TextStream(tokenizer), ids) == ["", "the", ""]
    assert pushed(TextStream(tokenizer, special=True), ids) == ["<s>", "the", "</s>"]
