"""What a user can get wrong: one line that says what, where, and what to do."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from helpers import token_samples as samples
from tokenizers import decoders, models

from liuli import LiuliError
from liuli.tokens import open_tokenizer
from liuli.tokens.trace import trace


def refused(folder: Path | str, *named: str, **how: Any) -> str:
    """Opens the folder, which must fail in one line that names all of `named`."""
    with pytest.raises(LiuliError) as caught:
        open_tokenizer(folder, **how)
    message = str(caught.value)
    assert "\n" not in message
    for name in named:
        assert name in message
    return message


def saved(folder: Path, content: tokenizers.Tokenizer | dict[str, Any] | str) -> Path:
    """Writes a tokenizer.json."""
    text = content.to_str() if isinstance(content, tokenizers.Tokenizer) else content
    (folder / "tokenizer.json").write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return folder


def changed(make: Callable[[], tokenizers.Tokenizer], part: str, **settings: Any) -> dict[str, Any]:
    content = json.loads(make().to_str())
    content[part] = (content[part] or {}) | settings
    return content


def test_no_folder(tmp_path):
    refused(tmp_path / "nothing", str(tmp_path / "nothing"), "no folder")


def test_a_file_for_a_folder(tmp_path):
    saved(tmp_path, samples.byte_level())
    refused(tmp_path / "tokenizer.json", "tokenizer.json is a file", "folder")


def test_no_tokenizer_in_the_folder(tmp_path):
    message = refused(tmp_path, str(tmp_path), "no tokenizer")
    for name in ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer.model", ".tiktoken"):
        assert name in message


def test_vocab_json_without_merges(tmp_path):
    samples.write_json(tmp_path / "vocab.json", {"a": 0})
    refused(tmp_path, "no tokenizer", "merges.txt")


@pytest.mark.parametrize("content", ['{"model": ', "", "not JSON", '{"model": "\\ud8'])
def test_broken_json(content, tmp_path):
    refused(saved(tmp_path, content), "tokenizer.json is broken")


@pytest.mark.parametrize("content", ["[]", "null", "{}", '{"model": {}}', '{"model": {"type": "BPE"}}', '{"version": "9"}'])
def test_json_that_is_no_tokenizer(content, tmp_path):
    refused(saved(tmp_path, content), "tokenizer.json is broken")


@pytest.mark.parametrize("content", ['{"model": []}', '{"model": null}', '{"model": "BPE"}'])
def test_json_whose_model_is_no_object(content, tmp_path):
    refused(saved(tmp_path, content), "tokenizer.json is broken")


def test_json_that_is_not_utf_8(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(b'{"model": "\xff"}')
    refused(tmp_path, "tokenizer.json is broken")


@pytest.mark.parametrize("name", ["tokenizer_config.json", "config.json"])
def test_broken_configuration_beside_it(name, tmp_path):
    samples.write_ranks(tmp_path / "a.tiktoken", samples.small_ranks())
    (tmp_path / name).write_text("{")
    refused(tmp_path, f"{name} is broken", pattern="qwen")


def test_unigram_json(tmp_path):
    unigram = tokenizers.Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], 0, False))
    refused(saved(tmp_path, unigram), "Unigram", "tokenizer.json", "supported:")


def test_word_level_json(tmp_path):
    """Its library cannot even cut a text without the unknown token."""
    refused(saved(tmp_path, tokenizers.Tokenizer(models.WordLevel({"x": 0}, unk_token="[UNK]"))), "WordLevel", "tokenizer.json")


@pytest.mark.parametrize(
    "model", [models.WordPiece({"x": 0}, unk_token="[NONE]"), models.BPE({"x": 0}, [], unk_token="[NONE]")]
)
def test_json_whose_unknown_token_is_not_in_its_vocabulary(model, tmp_path):
    """Its library fails on the first text that would need it."""
    backend = tokenizers.Tokenizer(model)
    backend.decoder = decoders.WordPiece() if isinstance(model, models.WordPiece) else decoders.Metaspace()
    refused(saved(tmp_path, backend), "tokenizer.json", "[NONE]")


def test_end_of_word_suffix(tmp_path):
    backend = tokenizers.Tokenizer(models.BPE({"a": 0, "b</w>": 1, "ab</w>": 2}, [("a", "b</w>")], end_of_word_suffix="</w>"))
    backend.decoder = decoders.BPEDecoder()
    refused(saved(tmp_path, backend), "end-of-word suffix", "tokenizer.json")


def test_continuing_subword_prefix_of_bpe(tmp_path):
    """Its pieces join without the prefix, which neither `decode` nor the trace knows."""
    merges = [("a", "##b")]
    backend = tokenizers.Tokenizer(models.BPE({"a": 0, "##b": 1, "ab": 2}, merges, continuing_subword_prefix="##"))
    backend.decoder = decoders.ByteLevel()
    refused(saved(tmp_path, backend), "tokenizer.json", "prefix")


def test_dropout_is_not_left_on(tmp_path):
    """A tokenizer saved in training may say `dropout`; a text has one cut all the same."""
    tokenizer = open_tokenizer(saved(tmp_path, changed(samples.byte_level, "model", dropout=0.5)))
    assert {tuple(tokenizer.encode("hello world the")) for _ in range(20)} == {tuple(tokenizer.encode("hello world the"))}


UNSUPPORTED_DECODERS = [
    None,
    {"type": "BPEDecoder", "suffix": "</w>"},
    {"type": "WordPiece", "prefix": "##", "cleanup": True},
    {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
    {"type": "Replace", "pattern": {"String": "_"}, "content": " "},
    {"type": "Sequence", "decoders": [{"type": "Fuse"}]},
    {"type": "Sequence", "decoders": []},
    {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": False},
]


@pytest.mark.parametrize("decoder", UNSUPPORTED_DECODERS, ids=str)
def test_unsupported_decoder(decoder, tmp_path):
    content = changed(samples.byte_level, "decoder") | {"decoder": decoder}
    refused(saved(tmp_path, content), "decoder", "tokenizer.json", "supported:")


def test_unsupported_decoder_of_wordpiece(tmp_path):
    refused(saved(tmp_path, changed(samples.wordpiece, "decoder") | {"decoder": {"type": "Fuse"}}), "Fuse", "WordPiece")


def test_a_begin_token_that_is_not_in_the_vocabulary(tmp_path, caplog):
    """It gets the next id, as in `transformers`. A model without a row for it leaves it out of prompts, and says so."""
    content = changed(samples.byte_level, "model") | {"post_processor": None}
    samples.write_json(tmp_path / "tokenizer_config.json", {"add_bos_token": True, "bos_token": "<none>"})
    tokenizer = open_tokenizer(saved(tmp_path, content))
    size = samples.byte_level().get_vocab_size()
    assert tokenizer.begin == [size] and tokenizer.encode("a", prompt=True) == [size, *tokenizer.encode("a")]
    tokenizer.fit(size, "the model")
    said = f"the begin token {size} is not put before prompts: the model's embedding has no row for it"
    assert caplog.messages == [f"the model: {said}"]
    assert tokenizer.encode("a", prompt=True) == tokenizer.encode("a")
    with pytest.raises(LiuliError, match=f"the text uses the token '<none>' .id {size}., for which the model's embedding has"):
        tokenizer.encode("<none>a", prompt=True)
    with pytest.raises(LiuliError, match=f"the model: the tokenizer has {size - 2} ids, but .* has only 100"):
        tokenizer.fit(100, "the model")


@pytest.mark.parametrize(
    "settings", [{"model_type": "unigram"}, {"model_type": "char"}, {"model_type": "word", "byte_fallback": False}]
)
def test_other_kinds_of_sentencepiece(settings, tmp_path):
    samples.write_sentencepiece(tmp_path, **{"hard_vocab_limit": False} | settings)
    kind = "Unigram" if settings["model_type"] == "unigram" else settings["model_type"]
    refused(tmp_path, "tokenizer.model", kind, "BPE is supported")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"byte_fallback": False}, "byte fallback"),
        ({"normalization_rule_name": "nmt_nfkc"}, "nmt_nfkc"),
        ({"remove_extra_whitespaces": True}, "white space"),
        ({"treat_whitespace_as_suffix": True}, "suffix"),
    ],
)
def test_sentencepiece_settings_that_are_not_followed(settings, named, tmp_path):
    samples.write_sentencepiece(tmp_path, **settings)
    refused(tmp_path, "tokenizer.model", named, "not supported")


def test_truncated_sentencepiece(tmp_path):
    """Wherever it ends: a file that ends between two pieces is still whole to a reader of fields."""
    samples.write_sentencepiece(tmp_path)
    path = tmp_path / "tokenizer.model"
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(tmp_path, "tokenizer.model")
    path.write_bytes(whole[: len(whole) // 2 + 1])
    refused(tmp_path, "broken")


def test_sentencepiece_that_is_something_else(tmp_path):
    for content in (b"", b"PK\x03\x04 a zip file", bytes(200)):
        (tmp_path / "tokenizer.model").write_bytes(content)
        refused(tmp_path, "tokenizer.model is broken")


def test_sentencepiece_with_a_damaged_byte_piece(tmp_path):
    samples.write_sentencepiece(tmp_path)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(path.read_bytes().replace(b"<0x41>", b"<0x4?>"))
    refused(tmp_path, "tokenizer.model is broken")


def write_lines(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> Path:
    path = folder / "a.tiktoken"
    samples.write_ranks(path, samples.small_ranks())
    path.write_bytes(b"\n".join(change(path.read_bytes().splitlines())))
    return folder


@pytest.mark.parametrize("line", [b"?? 7", b"YQ==", b"YQ== seven", b"YQ== 1 2", b"YQ 1", b"\xff\xfe 1"])
def test_a_bad_line_in_a_rank_file(line, tmp_path):
    write_lines(tmp_path, lambda lines: [*lines[:6], line, *lines[6:]])
    refused(tmp_path, "a.tiktoken", "line 7", pattern="qwen")


def test_bytes_missing_from_a_rank_file(tmp_path):
    write_lines(tmp_path, lambda lines: lines[:65] + lines[67:])
    refused(tmp_path, "a.tiktoken is broken", "2 single bytes", "65", pattern="qwen")


def test_an_empty_rank_file(tmp_path):
    (tmp_path / "a.tiktoken").write_bytes(b"")
    refused(tmp_path, "a.tiktoken is broken", "256", pattern="qwen")


@pytest.mark.parametrize("layout", ["vocab.json", "a.tiktoken"])
def test_no_cutting_pattern(layout, tmp_path):
    """Ids under the wrong pattern would be wrong in silence: it is asked for."""
    if layout == "vocab.json":
        samples.write_vocab_and_merges(tmp_path, samples.small_ranks(), {})
    else:
        samples.write_ranks(tmp_path / "a.tiktoken", samples.small_ranks())
    refused(tmp_path, layout, "--pattern", "gpt2", "qwen", "llama3")


def test_an_unknown_cutting_pattern(tmp_path):
    samples.write_vocab_and_merges(tmp_path, samples.small_ranks(), {})
    refused(tmp_path, "'gpt5'", "gpt2", "qwen", "llama3", pattern="gpt5")


@pytest.mark.parametrize(
    ("name", "config"),
    [("tokenizer_config.json", {"tokenizer_class": "Qwen2TokenizerFast"}), ("config.json", {"model_type": "qwen3"})],
)
def test_a_cutting_pattern_that_contradicts_the_folder(name, config, tmp_path):
    samples.write_vocab_and_merges(tmp_path, samples.small_ranks(), {})
    samples.write_json(tmp_path / name, config)
    refused(tmp_path, "'qwen'", "--pattern gpt2", str(tmp_path), pattern="gpt2")
    assert open_tokenizer(tmp_path).encode("12") == open_tokenizer(tmp_path, pattern="qwen").encode("12") == [49, 50]


@pytest.mark.parametrize("content", ["a q\n", "abc\n", "a b c\n"])
def test_merges_that_do_not_fit_the_vocabulary(content, tmp_path):
    samples.write_vocab_and_merges(tmp_path, samples.small_ranks(), {})
    (tmp_path / "merges.txt").write_text(content, encoding="utf-8")
    refused(tmp_path, "merges.txt", pattern="gpt2")


@pytest.mark.parametrize("content", [{"a": "0"}, {"a": -1}, {"a": [0]}])
def test_a_vocabulary_whose_ids_are_no_ids(content, tmp_path):
    samples.write_vocab_and_merges(tmp_path, samples.small_ranks(), {})
    samples.write_json(tmp_path / "vocab.json", content)
    refused(tmp_path, "vocab.json", pattern="gpt2")


def test_merges_that_are_not_utf_8(tmp_path):
    samples.write_vocab_and_merges(tmp_path, samples.small_ranks(), {})
    (tmp_path / "merges.txt").write_bytes(b"\xff \xfe\n")
    refused(tmp_path, "UTF-8", str(tmp_path), pattern="gpt2")


def test_vocab_txt_without_the_unknown_token(tmp_path):
    (tmp_path / "vocab.txt").write_text("[CLS]\n[SEP]\na\n", encoding="utf-8")
    refused(tmp_path, "vocab.txt", "'[UNK]'")


def test_vocab_txt_that_is_not_utf_8(tmp_path):
    (tmp_path / "vocab.txt").write_bytes("[UNK]\n[CLS]\n今天\n".encode("gb18030"))
    refused(tmp_path, "UTF-8", str(tmp_path))


def test_a_lone_surrogate(layout):
    text = "ab\ud800c"  # what Python makes of a byte that is no UTF-8 in a file's name, an argument, a pipe
    for act in (layout.tokenizer.encode, layout.tokenizer.tokens, lambda text: trace(layout.tokenizer, text)):
        with pytest.raises(LiuliError, match=r"character 3 is the lone surrogate U\+D800"):
            act(text)
    with pytest.raises(LiuliError, match="character 1 is"):
        layout.tokenizer.encode("\udcff", prompt=True)


@pytest.mark.parametrize("added", [[], {"a": {"content": "x"}}, {"900": {}}, {"900": 3}])
def test_added_tokens_of_odd_types(added, tmp_path):
    samples.write_vocab_and_merges(tmp_path, samples.small_ranks(), {"added_tokens_decoder": added, "tokenizer_class": 7})
    with pytest.raises(LiuliError, match=r"the added tokens in tokenizer_config.json"):
        open_tokenizer(tmp_path, pattern="qwen")


def test_an_added_token_on_a_pieces_id(tmp_path):
    samples.write_ranks(tmp_path / "a.tiktoken", samples.small_ranks())
    samples.write_json(tmp_path / "tokenizer_config.json", {"added_tokens_decoder": {"5": {"content": "<a>"}}})
    with pytest.raises(LiuliError, match="has the id 5, which a piece of the vocabulary already has"):
        open_tokenizer(tmp_path, pattern="qwen")


def test_a_prefix_space_that_a_layout_does_not_make(tmp_path):
    samples.write_vocab_and_merges(tmp_path, samples.small_ranks(), {"add_prefix_space": True})
    with pytest.raises(LiuliError, match="add_prefix_space is not supported"):
        open_tokenizer(tmp_path, pattern="gpt2")


def test_json_nested_too_deep(tmp_path):
    (tmp_path / "tokenizer.json").write_text("[" * 100_000)
    with pytest.raises(LiuliError, match=r"tokenizer.json is broken"):
        open_tokenizer(tmp_path)


def test_bert_tokens_given_as_objects(tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\nthe\n")
    samples.write_json(tmp_path / "tokenizer_config.json", {"cls_token": {"content": "[CLS]"}, "do_lower_case": None})
    assert open_tokenizer(tmp_path).encode("THE", prompt=True) == [1, 2]


def test_two_rank_files(tmp_path):
    for name in ("a.tiktoken", "b.tiktoken"):
        samples.write_ranks(tmp_path / name, samples.small_ranks())
    with pytest.raises(LiuliError, match=r"2 rank files \(a.tiktoken, b.tiktoken\): keep only one"):
        open_tokenizer(tmp_path, pattern="qwen")


@pytest.mark.parametrize("text", [None, 3, b"bytes", ["a"]])
def test_a_text_that_is_no_string(layout, text):
    tokenizer = layout.tokenizer
    for use in (tokenizer.encode, tokenizer.encode_on, tokenizer.tokens, lambda text: trace(tokenizer, text)):
        with pytest.raises(LiuliError, match=f"^a text must be a string, not {type(text).__name__}$"):
            use(text)


def test_an_id_that_does_not_exist(layout):
    tokenizer = layout.tokenizer
    size = tokenizer.vocab_size
    for id in (-1, size, 10**9, None, "7", 1.5, [0]):
        with pytest.raises(LiuliError, match=rf"^there is no token {re.escape(repr(id))}: the ids .* are 0 to {size - 1}$"):
            tokenizer.decode([0, id])
    for id in map(np.int64, (0, size - 1)):
        assert tokenizer.decode([id]) == tokenizer.decode([int(id)])


def test_an_id_that_is_not_used_is_named(tmp_path):
    vocab = {"a": 0, "b": 5}
    backend = tokenizers.Tokenizer(models.BPE(vocab, []))
    backend.decoder = decoders.ByteLevel()
    tokenizer = open_tokenizer(saved(tmp_path, backend))
    assert tokenizer.decode([0, 3, 5]) == "ab"
    assert tokenizer.decode([0, 3, 5], special=True) == "a<|id 3|>b"
