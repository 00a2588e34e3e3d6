"""What is told of a token: its text, its bytes, the characters that it covers."""

import dataclasses
import re

import pytest
from helpers import token_samples as samples
from helpers.token_samples import ODD, layouts, only
from tokenizers import processors

from liuli.errors import LiuliError
from liuli.tokens import TextStream, Token, open_tokenizer
from liuli.tokens.trace import replay, trace


def test_tokens_have_the_ids_of_encode(layout, texts):
    for text in texts[::10] + ODD:
        for prompt in (False, True):
            assert [token.id for token in layout.tokenizer.tokens(text, prompt)] == layout.tokenizer.encode(text, prompt), text


DOCUMENTS = [
    "hello the world\nhello again\nthe end",
    "今天天气真好。\n  今天 the\nworld\n\thello\n",
    "the\r\nworld\n\n hello\n\n\n今天",
]


def test_a_document_that_was_cut_at_a_line_end_comes_back_whole(layout):
    tokenizer = layout.tokenizer
    for text in DOCUMENTS:
        whole = tokenizer.decode(tokenizer.encode(text))
        assert layout.style == "words" or whole == text
        for cut in re.finditer(r"\n(?=[^\n])", text):
            ids = tokenizer.encode(text[: cut.end()]) + tokenizer.encode_on(text[cut.end() :])
            assert tokenizer.decode(ids) == whole, cut


@only("small-spaced")
def test_a_line_break_that_joins_what_follows_is_refused(layout):
    """The made tokenizer has a piece of two line breaks: no text that begins with the second can be encoded alone."""
    assert len(layout.tokenizer.encode("\n\n")) == len(layout.tokenizer.encode("\n"))
    with pytest.raises(LiuliError, match="joins a line break with the text after it, so a long document cannot be encoded"):
        layout.tokenizer.encode_on("\nhello")


@layouts("bytes", "spaced", "plain")
def test_spans_cover_the_text(layout, texts):
    """One after the other with nothing between; two may share the one character that lies across both."""
    for text in map(layout.normal, texts[::10] + ODD):  # where a normaliser joins characters, its span is the first one's
        start, end = 0, 0
        for token in layout.tokenizer.tokens(text):
            assert max(start, end - 1) <= token.span[0] <= end <= token.span[1], text
            start, end = token.span
        assert end == len(text)


@layouts("bytes", "spaced", "plain")
def test_a_token_shows_the_characters_of_its_span(layout, texts):
    for text in map(layout.normal, texts[::10] + ODD):
        for token in layout.tokenizer.tokens(text):
            shown, covered = token.text, text[slice(*token.span)]
            if "\ufffd" not in shown and shown.strip():
                assert shown in (covered, " " + covered), text


@layouts("bytes", "spaced", "plain")
def test_byte_tokens_of_one_character_share_its_span(layout):
    tokens = layout.tokenizer.tokens("a\U000e0041b")  # a tag character: in no vocabulary as a whole
    parts = [token for token in tokens if token.span == (1, 2)]
    assert len(parts) > 1
    assert b"".join(part.bytes for part in parts) == "\U000e0041".encode()
    assert {part.text for part in parts} <= {"\ufffd", "\ufffd\ufffd"}


@layouts("words")
def test_wordpiece_spans_are_of_the_text_as_given(layout):
    text = " Hello,\t今天 wörlding\u3000the"
    tokens = layout.tokenizer.tokens(text)
    assert [token.text for token in tokens][:5] == ["hello", ",", "今", "天", "world"]
    assert [text[slice(*token.span)] for token in tokens] == ["Hello", ",", "今", "天", "wörld", "ing", "the"]


def test_spans_of_special_tokens_in_a_prompt(layout):
    """A begin token that was added covers nothing, one that was typed covers what was typed."""
    tokenizer, end = layout.tokenizer, layout.end
    tokens = tokenizer.tokens(f"hello{end}hello", prompt=True)
    assert [token.span for token in tokens[: len(tokenizer.begin)]] == [(0, 0)] * len(tokenizer.begin)
    (special,) = [token for token in tokens if token.id == tokenizer.specials[end]]
    assert special == Token(special.id, end, b"", special=True, span=(5, 5 + len(end)))
    assert tokens[-1].span[1] == 10 + len(end)
    if layout.begin:
        typed = tokenizer.tokens(f"{layout.begin}hello", prompt=True)
        assert typed[0].span == (0, len(layout.begin))
        assert typed[1].span[0] == len(layout.begin)


def test_an_id_that_nobody_uses_is_named(layout):
    """A model whose embedding is larger than the vocabulary may choose it, and the engine shows what it chose."""
    for id in (layout.tokenizer.vocab_size, layout.tokenizer.vocab_size + 1000):
        assert layout.tokenizer.token(id) == Token(id, f"<|id {id}|>", b"", special=True)
        assert TextStream(layout.tokenizer).push(id) == ""
        assert TextStream(layout.tokenizer, special=True).push(id) == f"<|id {id}|>"


def test_a_token_as_json(layout):
    (token, *_) = layout.tokenizer.tokens("the")
    start, end = token.span
    assert token.to_json() == {"id": token.id, "text": token.text, "bytes": list(token.bytes), "span": [start, end]}
    alone = layout.tokenizer.token(token.id)
    assert alone.span is None
    assert alone.to_json() == {"id": token.id, "text": token.text, "bytes": list(token.bytes)}
    special = layout.tokenizer.token(layout.tokenizer.specials[layout.end])
    assert special.to_json() == {"id": special.id, "text": layout.end, "bytes": []}


def test_a_token_stays_as_it_is():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Token(1, "a", b"a").id = 2  # pyright: ignore[reportAttributeAccessIssue]


def test_every_id_has_a_token(layout):
    """And the bytes of all that content can be made of are known."""
    tokenizer = layout.tokenizer
    for id in range(0, tokenizer.vocab_size, 1 + tokenizer.vocab_size // 5000):
        token = tokenizer.token(id)
        assert token.id == id
        assert token.special or token.bytes.decode(errors="replace") == token.text
        assert not token.special or token.bytes == b""


def test_the_kind_is_named(layout):
    kinds = {"bytes": "byte-level BPE", "spaced": "SentencePiece BPE", "plain": "characters", "words": "WordPiece"}
    assert layout.tokenizer.kind == kinds[layout.style]


@only("stories", "minimind", "gpt2", "qwen", "qwen-merges", "llama2", "bert")
def test_the_size_of_the_vocabulary(layout):
    sizes = {"stories": 512, "minimind": 6400, "gpt2": 50257, "llama2": 32000, "bert": 21128}
    assert layout.tokenizer.vocab_size == sizes.get(layout.name, 151646)  # Qwen's 151,643 and three special tokens


def test_a_rank_file_may_leave_ids_unused(tmp_path):
    ranks = samples.small_ranks() | {b"zz": 1000}
    samples.write_ranks(tmp_path / "a.tiktoken", ranks)
    tokenizer = open_tokenizer(tmp_path, pattern="qwen")
    assert tokenizer.vocab_size == 1001
    assert tokenizer.encode("zz") == [1000]
    assert tokenizer.token(999).text == "<|id 999|>"


def test_files_with_windows_line_ends(tmp_path):
    """Git may have put them there; transformers reads them too."""
    words, merges = tmp_path / "words", tmp_path / "merges"
    for folder in (words, merges):
        folder.mkdir()
    (words / "vocab.txt").write_bytes("\r\n".join(samples.wordpiece_lines()).encode())
    assert open_tokenizer(words).encode("hello") == [samples.wordpiece_lines().index("hello")]
    samples.write_vocab_and_merges(merges, samples.small_ranks(), {})
    path = merges / "merges.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert open_tokenizer(merges, pattern="gpt2").encode("hello") == [samples.small_ranks()[b"hello"]]


def test_a_rank_file_may_hold_pieces_that_no_join_reaches(tmp_path):
    """A chunk that is such a piece is taken whole, as tiktoken does; within another chunk it is never made."""
    tiktoken = pytest.importorskip("tiktoken")
    ranks = samples.small_ranks() | {b"xyz": 600}
    samples.write_ranks(tmp_path / "a.tiktoken", ranks)
    tokenizer = open_tokenizer(tmp_path, pattern="qwen")
    oracle = tiktoken.Encoding("oracle", pat_str=r"\w+|\W+", mergeable_ranks=ranks, special_tokens={})
    for text, ids in {"xyz": [600], "xyzz": [*b"xyzz"], "xyz\nxyz": [600, ord("\n"), 600]}.items():
        assert tokenizer.encode(text) == oracle.encode(text) == ids
        assert replay(trace(tokenizer, text)) == ids
    (chunk,) = trace(tokenizer, "xyz")
    assert ([symbol.text for symbol in chunk.symbols], chunk.joins) == (["xyz"], [])


def test_spans_keep_their_spaces_whatever_the_post_processor_says(tmp_path):
    """ByteLevel may be told to trim white space off the spans: then they would not cover the text."""
    backend = samples.byte_level()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    backend.save(str(tmp_path / "tokenizer.json"))
    tokens = open_tokenizer(tmp_path).tokens("hello the  world")
    assert "".join("hello the  world"[slice(*token.span)] for token in tokens) == "hello the  world"


@layouts("words")
def test_the_unknown_token_is_seen_in_decoded_text(layout):
    """It stands for something that was there: content gives it, so it is no special token to leave out."""
    tokenizer = layout.tokenizer
    assert tokenizer.decode(tokenizer.encode("hello \U00020bb7 hello")) == "hello [UNK] hello"
    assert tokenizer.token(tokenizer.unknown) == Token(tokenizer.unknown, "[UNK]", b"[UNK]")
