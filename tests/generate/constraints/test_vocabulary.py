"""What a token adds to the text, for each kind of tokenizer."""

import json
from pathlib import Path

import pytest
import tokenizers
from helpers.uniform_model import UniformDecoder, run_all, text_of
from tokenizers import decoders, models, normalizers, pre_tokenizers

from liuli import open_tokenizer
from liuli.errors import LiuliError
from liuli.generate.constraints.grammar import Grammar
from liuli.generate.constraints.vocabulary import Vocabulary
from liuli.generate.request import Request
from liuli.tokens import TextStream, Tokenizer

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def texts(tokenizer: Tokenizer, grammar: Grammar, prompt: list[int], max_tokens: int = 60, count: int = 10) -> list[str]:
    size = tokenizer.vocab_size + 9  # padded
    requests = [
        Request(prompt, max_tokens=max_tokens, seed=i, stop_ids=tokenizer.end, constraint=grammar) for i in range(count)
    ]
    return [text_of(records) for records in run_all(UniformDecoder(size), tokenizer, requests)]


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory) -> Tokenizer:
    """SentencePiece's way: ▁ for spaces, one of which begins each text; a byte is a piece of its own if nothing else is."""
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *'▁{}[]":,0123456789abname',
        "▁{",
        '▁"',
        "na",
        "▁▁",
    ]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    backend = tokenizers.Tokenizer(
        models.BPE(
            vocab, [("▁", "{"), ("▁", '"'), ("n", "a"), ("▁", "▁")], byte_fallback=True, unk_token="<unk>", fuse_unk=True
        )
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    folder = tmp_path_factory.mktemp("sentencepiece")
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}))
    return open_tokenizer(folder)


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory) -> Tokenizer:
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "正",
        "面",
        "负",
        "好",
        "的",
        "good",
        "bad",
        "##ly",
        "very",
        ".",
        ",",
        "!",
        "a",
        "b",
        "0",
        "1",
        "##0",
        "##1",
        "{",
        "}",
        '"',
        ":",
        "[",
        "]",
    ]
    folder = tmp_path_factory.mktemp("wordpiece")
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return open_tokenizer(folder)


def test_the_space_at_the_beginning_of_a_text(sentencepiece):
    """After a prompt without text, one space of the first token is not shown; after a prompt with text, it is."""
    assert sentencepiece.encoder.style == "spaced"
    for prompt in ([1], [1, *sentencepiece.encode("name")]):
        for text in texts(sentencepiece, Grammar.of_schema(PERSON), prompt):
            assert text.startswith("{")
            assert set(json.loads(text)) == {"name", "age"}
        assert set(texts(sentencepiece, Grammar.of_choices([" a", "  b"]), prompt, count=30)) == {" a", "  b"}


def test_forced_tokens_of_sentencepiece(sentencepiece):
    """The tokenizer's own spelling, without the space that it would put before a text."""
    grammar = Grammar.of_lark('start: "name"')
    for prompt in ([1], [1, *sentencepiece.encode("a")]):
        (text,) = set(texts(sentencepiece, grammar, prompt))
        assert text == "name"


def test_wordpiece_is_refused(wordpiece):
    with pytest.raises(
        LiuliError, match="a grammar cannot be used with a WordPiece vocabulary, which writes a space before each"
    ):
        texts(wordpiece, Grammar.of_schema(PERSON), [2])


def test_a_vocabulary_without_the_characters(tmp_path: Path):
    backend = tokenizers.Tokenizer(models.BPE({piece: i for i, piece in enumerate("abc")}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = open_tokenizer(tmp_path)
    with pytest.raises(LiuliError, match="cannot spell the shortest text that the schema allows"):
        texts(tokenizer, Grammar.of_schema(PERSON), [0])
    assert set(texts(tokenizer, Grammar.of_choices(["cab", "abba"]), [0], max_tokens=4)) == {"cab", "abba"}


@pytest.mark.parametrize("kind", ["sentencepiece", "tiny"])
def test_the_symbols_of_tokens_are_the_text(request, kind):
    """For any ids in any order: the bytes that the vocabulary names, joined, are the text that is shown."""
    import random

    found = request.getfixturevalue(kind)
    tokenizer = found.tokenizer if kind == "tiny" else found
    vocabulary = Vocabulary(tokenizer, tokenizer.vocab_size)
    usable = [i for i in range(tokenizer.vocab_size) if not vocabulary.is_special(i) and vocabulary.symbols_of(i, 1)]
    rng = random.Random(0)
    for _ in range(200):
        ids = rng.choices(usable, k=6)
        stream = TextStream(tokenizer)
        shown = "".join(map(stream.push, ids)) + stream.finish()
        symbols: list[int] = []
        context = vocabulary.context_after([])
        for token_id in ids:
            symbols += vocabulary.symbols_of(token_id, context)
            context = vocabulary.next_context(context, token_id)
        assert bytes(symbols).decode(errors="replace") == shown
        fewest = vocabulary.fewest_tokens(symbols, vocabulary.context_after([]))
        assert fewest is not None
        assert len(fewest) <= len(ids)


def test_a_real_sentencepiece_model(stories):
    from liuli import load

    model = load(stories)
    for seed in range(3):
        completion = model.complete("", max_tokens=60, seed=seed, schema="name, age int")
        assert set(json.loads(completion.text)) == {"name", "age"}
