"""Training: the merges of a slow trainer, the same file each time, a folder that others open, any text back unchanged."""

import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import tokenizers
from helpers.token_samples import ODD, bilingual, write_json
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from liuli.errors import LiuliError
from liuli.tokens import Tokenizer, open_tokenizer
from liuli.tokens.encoders.pipeline import BYTE_OF, PipelineEncoder, spelled_bytes
from liuli.tokens.formats.patterns import TRAINED
from liuli.tokens.sample import BLOCK, take_sample
from liuli.tokens.trace import replay, trace
from liuli.tokens.train import BEGIN, LEAST, MAX_PIECE, SPECIALS, TrainedTokenizer, train

TEXTS = bilingual()
SIZES = {"bpe": 600, "char": None}


def chunks(text: str) -> list[str]:
    return [chunk for chunk, _ in pre_tokenizers.Split(Regex(TRAINED), "isolated").pre_tokenize_str(text)]


@pytest.fixture(scope="module", params=["bpe", "char"])
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def trained(kind) -> TrainedTokenizer:
    return train(TEXTS, kind, SIZES[kind])


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    trained.write(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder) -> Tokenizer:
    return open_tokenizer(folder)


def slow_merges(texts: list[str], count: int) -> Iterator[tuple[bytes, bytes]]:
    """BPE as it is told: count all neighbours, join the most frequent pair everywhere, again. Of equally frequent pairs
    the one whose pieces are older goes first; single bytes are as old as they are early in GPT-2's spelling."""
    age = {bytes([byte]): place for place, (_, byte) in enumerate(sorted(BYTE_OF.items()))}
    counts = Counter(chunk for text in texts for chunk in chunks(text))
    words = [([bytes([byte]) for byte in chunk.encode()], number) for chunk, number in counts.items()]
    for _ in range(count):
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for pieces, number in words:
            for pair in pairwise(pieces):
                pairs[pair] += number
        possible = [pair for pair in pairs if len(pair[0] + pair[1]) <= MAX_PIECE]
        best = max(possible, key=lambda pair: (pairs[pair], -age[pair[0]], -age[pair[1]]))
        yield best
        age[best[0] + best[1]] = len(age)
        for pieces, _ in words:
            at = 0
            while at < len(pieces) - 1:
                if (pieces[at], pieces[at + 1]) == best:
                    pieces[at : at + 2] = [best[0] + best[1]]
                at += 1


def merges_of(trained: TrainedTokenizer) -> list[tuple[bytes, bytes]]:
    ranks = PipelineEncoder(trained.backend, "trained").pair_ranks
    return [(spelled_bytes(left), spelled_bytes(right)) for left, right in sorted(ranks, key=ranks.__getitem__)]


def test_the_first_500_merges_are_a_slow_trainers():
    assert merges_of(train(TEXTS, "bpe", LEAST + 500)) == list(slow_merges(TEXTS, 500))


def test_the_first_500_merges_on_a_novel_are_a_slow_trainers(data):
    texts = [path.read_text(encoding="utf-8")[20_000:28_000] for path in sorted((data / "text").glob("*/*.txt"))[1::3]]
    assert merges_of(train(texts, "bpe", LEAST + 500)) == list(slow_merges(texts, 500))


@pytest.mark.parametrize("threads", [1, 2])
def test_another_process_writes_the_same_bytes(kind, folder, tmp_path, threads):
    imports = "from helpers.token_samples import bilingual; from liuli.tokens.train import train"
    code = f"{imports}; train(bilingual(), {kind!r}, {SIZES[kind]})"
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    environment = os.environ | {"PYTHONPATH": paths, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}
    subprocess.run([sys.executable, "-c", f"{code}.write({str(tmp_path)!r})"], env=environment, check=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_ties_are_broken_the_same_way_each_time():
    """Runs of few letters, where one piece comes from several pairs and many pairs are equally frequent."""
    texts = ["ab" * length + " " + "a" * length + "-" * length + "哈" * length for length in range(1, 60)] * 2
    written = {train(texts, "bpe", LEAST + 50).backend.to_str() for _ in range(5)}
    assert written == {train(texts[::-1], "bpe", LEAST + 50).backend.to_str()}


def test_special_tokens_come_first(tokenizer):
    assert tokenizer.specials == {text: id for id, text in enumerate(SPECIALS)}
    assert tokenizer.begin == [0]
    assert [tokenizer.token(id).bytes for id in range(7, LEAST)] == (
        [bytes([byte]) for byte in range(256)]
        if tokenizer.kind == "characters"
        else [bytes([b]) for _, b in sorted(BYTE_OF.items())]
    )


def test_special_strings_are_text_in_the_corpus_and_in_content(kind, tmp_path):
    texts = [text.replace("。", special) for text in TEXTS[:20] for special in SPECIALS]
    train(texts, kind, SIZES[kind] and 400).write(tmp_path)
    tokenizer = open_tokenizer(tmp_path)
    for special, id in tokenizer.specials.items():
        ids = tokenizer.encode(f"今天{special}今天")
        assert not set(ids) & set(tokenizer.specials.values())
        assert tokenizer.decode(ids) == f"今天{special}今天"
        assert id in tokenizer.encode(f"今天{special}", prompt=True)


def test_transformers_and_tokenizers_give_the_same_ids(folder, tokenizer):
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    of_tokenizers = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    for oracle in (AutoTokenizer.from_pretrained(folder), PreTrainedTokenizerFast.from_pretrained(folder)):
        assert (oracle.bos_token, oracle.eos_token, oracle.vocab_size) == (BEGIN, BEGIN, tokenizer.vocab_size)
        for text in [text for text in ODD if not any(special in text for special in SPECIALS)] + TEXTS[:2]:
            ids = tokenizer.encode(text)
            assert (
                oracle(text)["input_ids"] == of_tokenizers.encode(text).ids == tokenizer.encode(text, prompt=True) == [0, *ids]
            )
            assert oracle.decode(ids) == of_tokenizers.decode(ids) == text


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert b"".join(token.bytes for token in tokenizer.tokens(text)) == text.encode()
    assert replay(trace(tokenizer, text)) == ids


@pytest.mark.parametrize("text", ["▁", " ▁a▁ ", "\x00", "<0x41>", "\u0301a", "👩‍👩‍👧‍👦", "\ufffd", "Ġ"])
def test_characters_that_others_stumble_over_come_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("使用Python编写代码", "使用/Python/编写代码"),
        ("使用 Python 3 编写", "使用/ Python/ /3/ /编写"),
        ("二〇二四年，人々", "二〇二四年/，/人々"),
        ("pi = 3.14, 1000", "pi/ =/ /3/./1/4/,/ /1/0/0/0"),
        ("I don't, we'LL 'tis 'hear", "I/ don/'t/,/ we/'LL/ '/tis/ '/hear"),
        ("don’t ‘好’", "don/’t/ ‘/好/’"),
        ("了。”\n　　宝玉", "了/。”\n/　　/宝玉"),
        ("a\n\n  b", "a/\n\n/ / b"),
        ("x   中", "x/   /中"),
        ("naïve e\u0301té हिन्दी", "naïve/ e\u0301té/ हिन्दी"),
        ("❤️ 👩‍💻!", "❤️/ 👩‍💻!"),
        ("end  ", "end/  "),
        ("<|im_end|>", "<|/im/_/end/|>"),
    ],
)
def test_where_the_pattern_cuts(text, expected):
    assert chunks(text) == expected.split("/")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@settings(max_examples=300, deadline=None)
def test_the_pattern_leaves_nothing_out(text):
    assert "".join(chunks(text)) == text
    matched = pre_tokenizers.Split(Regex(TRAINED), "removed").pre_tokenize_str(text)
    assert matched == []


def test_no_piece_is_longer_than_the_limit(tmp_path):
    """A sentence said a thousand times does not become one token."""
    train(["毕竟性命如何且听下回分解。"] * 1000 + TEXTS, "bpe", 600).write(tmp_path)
    tokenizer = open_tokenizer(tmp_path)
    pieces = [tokenizer.token(id) for id in range(LEAST, 600)]
    assert 12 < max(len(piece.bytes) for piece in pieces) <= MAX_PIECE
    assert len(tokenizer.encode("毕竟性命如何且听下回分解。")) > 2


def test_characters_come_by_frequency_then_by_code_point(tmp_path):
    train(["cc bbaa 好好 z"], "char", LEAST + 5).write(tmp_path)
    tokenizer = open_tokenizer(tmp_path)
    assert [tokenizer.token(id).text for id in range(LEAST, tokenizer.vocab_size)] == [" ", "a", "b", "c", "好"]
    assert tokenizer.encode("a好") == [LEAST + 1, LEAST + 4]
    assert [tokenizer.token(id).bytes for id in tokenizer.encode("z坏")] == [b"z", b"\xe5", b"\x9d", b"\x8f"]


def test_characters_are_counted_in_all_of_the_text():
    trained = train([*["a\n" * BLOCK] * 20, "龘"], "char", sample_bytes=20_000)
    assert trained.sample.bytes <= 20_000
    assert trained.backend.token_to_id("龘") == LEAST + 2


@given(st.lists(st.text(alphabet="a好\n", max_size=9) | st.sampled_from(["a" * BLOCK, "line\n" * 5000]), min_size=1))
@settings(deadline=None)
def test_a_text_that_fits_is_the_sample(texts):
    assume(any(texts))
    sample = take_sample(texts)
    assert "".join(sample.texts()) == "".join(texts)
    assert sample.bytes == sample.total_bytes == len("".join(texts).encode())
    short = [text for text in texts if 0 < len(text) <= BLOCK]
    assert not Counter(short) - Counter(sample.texts())  # each is a text of its own
    assert len(sample.blocks) <= 2 * len("".join(texts)) / BLOCK + 1


def test_a_sample_is_bounded_and_spread_evenly():
    texts = ["".join(f"{line}\n" for line in range(start, start + 10_000)) for start in range(0, 200_000, 10_000)]
    sample = take_sample(iter(texts), limit=200_000)
    taken = list(sample.texts())
    assert taken == list(take_sample(iter(texts), limit=200_000).texts())
    assert 200_000 - 2 * BLOCK < sample.bytes <= 200_000 < sample.total_bytes == len("".join(texts))
    tenths = Counter(int(text.split("\n")[0]) // 20_000 for text in taken)
    assert all(1 <= tenths[tenth] <= 12 for tenth in range(10))
    assert all(text.endswith("\n") for text in taken)  # cut at line ends


def test_short_documents_are_sampled_together():
    texts = [f"{line}\n" for line in range(200_000)]
    sample = take_sample(iter(texts), limit=200_000)
    assert sample == take_sample(iter(texts), limit=200_000)
    assert 200_000 - BLOCK < sample.bytes <= 200_000 < sample.total_bytes
    assert max(len(block.joined) for block in sample.blocks) <= BLOCK
    taken = [int(text) for text in sample.texts()]  # none was joined to another
    assert taken == sorted(taken)
    tenths = Counter(line // 20_000 for line in taken)
    assert all(0 < tenths[tenth] < 8_000 for tenth in range(10))


def test_the_memory_of_a_sample_is_bounded_for_short_documents_too():
    tracemalloc.start()
    try:
        sample = take_sample("ab"[number % 2] for number in range(100_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(1 for _ in sample.texts()) == sample.bytes == 100_000
    assert peak < 10 * sample.bytes


def test_a_line_without_end_is_cut_into_blocks():
    sample = take_sample(["长" * 1_000_000])
    lengths = list(map(len, sample.texts()))
    assert max(lengths) <= 2 * BLOCK
    assert sum(lengths) == 1_000_000


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "there is no text to train a tokenizer on: the sources are empty; give files with text"),
        (["", ""], {"kind": "char"}, "there is no text to train a tokenizer on: the sources are empty; give files with text"),
        (TEXTS, {"kind": "word"}, "there is no tokenizer of kind 'word': choose bpe or char"),
        (TEXTS, {"vocab_size": 262}, "a vocabulary of 262 is too small: 7 special tokens and 256 bytes need at least 263"),
        (TEXTS, {"vocab_size": 0, "kind": "char"}, "a vocabulary of 0 is too small.*at least 263"),
        (
            ["aaba"],
            {"kind": "char", "vocab_size": 300},
            "only 265 tokens, but 300 were requested: give --vocab-size 265 or",
        ),
        (["ab ab cd"], {"vocab_size": 400}, "only 264 tokens, but 400 were requested: give --vocab-size 264 or less"),
        (["ab ab"], {"vocab_size": 10**12}, "only 264 tokens, but 1,000,000,000,000 were requested"),
        (["a", "b\udcff"], {}, "text 2 of the sources: .*character 2 is the lone surrogate U\\+DCFF"),
        (["b\ud800"], {"kind": "char"}, "text 1 of the sources: .*lone surrogate U\\+D800"),
    ],
)
def test_what_cannot_be_trained(texts, options, message):
    with pytest.raises(LiuliError, match=message):
        train(texts, **options)


def test_the_size_that_an_error_names_can_be_had():
    for kind, texts, size in (("bpe", ["ab ab cd"], 264), ("char", ["aaba"], 265), ("bpe", ["ab"], LEAST)):
        assert train(texts, kind, size).backend.get_vocab_size() == size


def test_only_a_tokenizer_of_ours_is_written_over(trained, folder, tmp_path):
    before = (folder / "tokenizer.json").read_bytes()
    with pytest.raises(LiuliError, match="already contains a tokenizer: give a new or empty folder"):
        trained.write(folder)
    trained.write(folder, force=True)
    assert (folder / "tokenizer.json").read_bytes() == before

    (tmp_path / "file").write_text("x")
    with pytest.raises(LiuliError, match=r"file is a file: give a new or empty folder"):
        trained.write(tmp_path / "file")
    with pytest.raises(LiuliError, match=r"contains other files \(file\): give a new or empty folder"):
        trained.write(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "tokenizer.json").write_bytes(before)
    with pytest.raises(LiuliError, match=r"contains other files \(tokenizer.json\): give a new or empty folder"):
        trained.write(other, force=True)
    write_json(other / "tokenizer_config.json", {"bos_token": "<s>"})
    with pytest.raises(LiuliError, match=r"contains other files \(tokenizer.json, tokenizer_config.json\)"):
        trained.write(other, force=True)
    trained.write(tmp_path / "deep" / "new")
    assert (tmp_path / "deep" / "new" / "tokenizer.json").read_bytes() == before


@pytest.mark.parametrize(("kind", "size"), [("bpe", 264), ("char", 263 + 5)])
def test_without_a_size_a_small_text_gives_what_it_has(kind, size):
    assert train(["ab ab cd"], kind).backend.get_vocab_size() == size
