"""The trace of a cut: it leads to the ids of `encode`, by steps that a slow search finds too."""

import json
from collections.abc import Callable
from itertools import pairwise

import pytest
from helpers import token_samples as samples
from helpers.token_samples import ODD, Layout, layouts, only
from tokenizers import AddedToken

from liuli.tokens import open_tokenizer
from liuli.tokens.trace import Chunk, replay, trace


@pytest.fixture
def some(texts) -> list[str]:
    """Every odd line and a few real ones."""
    return ODD + texts[: -len(ODD) : 25]


def test_the_steps_lead_to_the_ids(layout, some):
    for text in some:
        assert replay(trace(layout.tokenizer, text)) == layout.tokenizer.encode(text), text


def test_the_steps_of_a_prompt_lead_to_the_ids_behind_the_begin_token(layout, some):
    tokenizer = layout.tokenizer
    for text in some[::3] + [f"hello{special} 今天{special}" for special in tokenizer.specials]:
        steps = replay(trace(tokenizer, text, prompt=True))
        typed = steps[: len(tokenizer.begin)] == tokenizer.begin
        assert ([] if typed else tokenizer.begin) + steps == tokenizer.encode(text, prompt=True), text


def test_a_special_token_is_a_chunk_of_its_own(layout):
    text = f"hello{layout.end}x"
    chunks = [chunk for chunk in trace(layout.tokenizer, text, prompt=True) if chunk.text == layout.end]
    assert chunks == [
        Chunk(layout.end, (5, 5 + len(layout.end)), [layout.tokenizer.token(layout.tokenizer.specials[layout.end])])
    ]
    assert all(chunk.text != layout.end for chunk in trace(layout.tokenizer, text))


def test_no_text_has_no_steps(layout):
    assert trace(layout.tokenizer, "") == []


Join = Callable[[int, int], tuple[float, int] | None]


def joins_of(layout: Layout) -> Join:
    """(order, id of the joined piece) of two ids, as the layout's own files say; lower orders go first."""
    folder = layout.folder
    if (folder / "tokenizer.model").is_file() and layout.style == "spaced":
        import sentencepiece

        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))

        def joined(left: int, right: int) -> tuple[float, int] | None:
            id = model.piece_to_id(model.id_to_piece(left) + model.id_to_piece(right))
            made = not (model.is_unknown(id) or model.is_control(id) or model.is_byte(id))
            return (-model.get_score(id), id) if made else None

        return joined
    ranks = [path for path in (folder / "qwen.tiktoken", folder / "tokenizer.model") if path.is_file()]
    if ranks:
        ids = samples.read_ranks(ranks[0])
        pieces = {id: piece for piece, id in ids.items()}

        def ranked(left: int, right: int) -> tuple[float, int] | None:
            id = ids.get(pieces[left] + pieces[right])
            return None if id is None else (id, id)

        return ranked
    if (folder / "tokenizer.json").is_file():
        model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        vocab, pairs = model["vocab"], model["merges"]
    else:
        vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    table = {(vocab[left], vocab[right]): (rank, vocab[left + right]) for rank, (left, right) in enumerate(pairs)}
    return lambda left, right: table.get((left, right))


def brute(ids: list[int], join: Join) -> list[tuple[int, int, int, int]]:
    """(place, left id, right id, joined id) of every join, looking at all neighbours each time."""
    ids, steps = list(ids), []
    while True:
        found = [(join(*pair), at) for at, pair in enumerate(pairwise(ids))]
        possible = [(order, at, id) for (order, id), at in ((hit, at) for hit, at in found if hit)]
        if not possible:
            return steps
        _, at, id = min(possible)  # of two that are as good, the left one
        steps.append((at, ids[at], ids[at + 1], id))
        ids[at : at + 2] = [id]


@layouts("bytes", "spaced")
def test_each_join_is_the_first_possible_one(layout, some):
    join, seen = joins_of(layout), 0
    for text in some:
        for chunk in trace(layout.tokenizer, text[:60]):
            if len(chunk.symbols) > 1:
                steps = [(step.at, step.left.id, step.right.id, step.result.id) for step in chunk.joins]
                assert steps == brute([symbol.id for symbol in chunk.symbols], join), chunk.text
                seen += len(steps)
    assert seen > 100


@layouts("bytes", "spaced")
def test_ranks_are_ordered_as_the_files_say(layout, some):
    join = joins_of(layout)
    steps = [step for text in some for chunk in trace(layout.tokenizer, text) for step in chunk.joins]
    orders = sorted({(step.rank, join(step.left.id, step.right.id)[0]) for step in steps})
    assert all(one[0] < other[0] and one[1] < other[1] for one, other in pairwise(orders))


@layouts("bytes", "spaced")
def test_bpe_begins_with_the_smallest_pieces(layout, some):
    """Bytes for byte-level BPE; for the others characters, or bytes where a character is no piece. A chunk that is a
    piece itself may be taken whole, as tiktoken does."""
    for text in some:
        for chunk in trace(layout.tokenizer, text):
            spelled = b"".join(symbol.bytes for symbol in chunk.symbols)
            assert spelled == chunk.text.replace("▁", " ").encode() if layout.style == "spaced" else chunk.text.encode()
            if chunk.joins:
                assert all(len(symbol.text) == 1 for symbol in chunk.symbols)
                assert layout.style == "spaced" or all(len(symbol.bytes) == 1 for symbol in chunk.symbols)


@layouts("words")
def test_each_match_is_the_longest(layout, some):
    path = layout.folder / "vocab.txt"
    lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else samples.wordpiece_lines()
    vocab = {line: id for id, line in enumerate(lines)}

    def pieces(word: str) -> list[tuple[int, int, int]]:
        """By trying every piece; none where the word cannot be made of pieces."""
        found, at = [], 0
        while at < len(word):
            fitting = [piece for piece in vocab if piece and word.startswith(piece.removeprefix("##") if at else piece, at)]
            fitting = [piece for piece in fitting if piece.startswith("##") == (at > 0) and piece != "##"]
            if not fitting:
                return []
            longest = max(fitting, key=len)
            end = at + len(longest) - 2 * (at > 0)
            found.append((at, end, vocab[longest]))
            at = end
        return found

    words = {chunk.text: chunk for text in some[::2] for chunk in trace(layout.tokenizer, text[:40])}
    assert len(words) > 100
    for word, chunk in words.items():
        matches = [(match.start, match.end, match.piece.id) for match in chunk.matches]
        assert matches == (pieces(word) or [(0, len(word), vocab["[UNK]"])]), word


@layouts("words")
def test_a_word_of_more_than_a_hundred_characters_is_unknown(layout):
    short, long = trace(layout.tokenizer, "a" * 100 + " " + "a" * 101)
    assert len(short.matches) > 1
    assert [match.piece.text for match in long.matches] == ["[UNK]"]


@layouts("bytes", "spaced", "plain")
def test_chunks_cover_the_text_and_show_its_characters(layout, some):
    """Readable: Chinese as characters, spaces as spaces (or ▁ in SentencePiece), no spelled bytes."""
    for text in map(layout.normal, some):
        at = 0
        for number, chunk in enumerate(trace(layout.tokenizer, text)):
            start, end = chunk.span
            assert start == at
            shown = chunk.text
            if layout.style == "spaced":
                shown = shown.replace("▁", " ")
                if number == 0 and layout.name != "small-unprefixed":
                    shown = shown.removeprefix(" ")  # put before the text
            assert shown == text[start:end]
            at = end
        assert at == len(text)


@layouts("words")
def test_words_stand_where_they_were(layout):
    text = " Hello,\t今天 wörld\u3000the"
    chunks = trace(layout.tokenizer, text)
    assert [chunk.text for chunk in chunks] == ["hello", ",", "今", "天", "world", "the"]
    assert [text[slice(*chunk.span)] for chunk in chunks] == ["Hello", ",", "今", "天", "wörld", "the"]


@only("minimind", "gpt2", "qwen", "qwen-merges", "small-bytes", "small-merges", "small-ranks", "trained-bpe")
def test_byte_level_chunks_are_readable(layout):
    chunks = trace(layout.tokenizer, "你好 world，今天's\n")
    assert [chunk.text for chunk in chunks][:2] == ["你好", " world"]
    assert "".join(chunk.text for chunk in chunks) == "你好 world，今天's\n"


@only("qwen-merges")
def test_chunks_are_as_the_normaliser_left_them(layout):
    assert [chunk.text for chunk in trace(layout.tokenizer, "e\u0301 \u212b")] == ["\u00e9", " \u00c5"]


def test_a_trace_is_json(layout):
    text = "hello 你好 ing龘"
    for chunk in trace(layout.tokenizer, text):
        body = json.loads(json.dumps(chunk.to_json()))
        assert list(body) == ["text", "span", "ids", "symbols", "joins", "matches"]
        assert body["ids"] == chunk.ids
        assert bool(body["matches"]) == (layout.style == "words")
        for join in body["joins"]:
            assert set(join) == {"at", "rank", "left", "right", "result"}
            assert join["left"]["bytes"] + join["right"]["bytes"] == join["result"]["bytes"]
        for match in body["matches"]:
            assert set(match) == {"start", "end", "piece"}


@only("minimind")
def test_added_tokens_that_are_not_special_are_chunks(layout):
    chunks = trace(layout.tokenizer, "a<think>b")
    assert [(chunk.text, chunk.span) for chunk in chunks] == [("a", (0, 1)), ("<think>", (1, 8)), ("b", (8, 9))]


@pytest.mark.parametrize(
    ("make", "flags"),
    [
        (samples.byte_level, {}),
        (samples.byte_level, {"lstrip": True}),
        (samples.byte_level, {"rstrip": True}),
        (samples.byte_level, {"single_word": True}),
        (samples.spaced, {}),
        (lambda: samples.metaspace("always"), {}),
        (lambda: samples.metaspace("first"), {}),
    ],
    ids=["bytes", "lstrip", "rstrip", "single_word", "spaced", "metaspace-always", "metaspace-first"],
)
def test_added_tokens_are_traced_as_they_are_read(make, flags, tmp_path):
    backend = make()
    backend.add_tokens([AddedToken("TOOL", **flags, normalized=False)])
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = open_tokenizer(tmp_path)
    for text in ("hello TOOL the", "TOOL hello", "aTOOLb", "hello  TOOL"):
        assert replay(trace(tokenizer, text)) == tokenizer.encode(text), text
