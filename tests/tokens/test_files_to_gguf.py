"""Tokenizers in a GGUF file's metadata: the same ids as in the folder, whatever its layout."""

import json
import re
from pathlib import Path

import gguf
import numpy as np
import pytest
import tokenizers
from helpers.token_samples import ODD, bilingual, byte_level, spaced

from liuli.errors import LiuliError
from liuli.gguf_file import open_gguf
from liuli.model.formats.gguf_write import _add
from liuli.tokens import open_tokenizer
from liuli.tokens.formats.files_to_gguf import tokenizer_metadata
from liuli.tokens.tokenizer import Tokenizer
from liuli.tokens.train import train

# Layouts of tokenizers that llama.cpp cannot say: WordPiece, and ranks without merges.
REFUSED = {"small-words": "WordPiece", "small-words-json": "WordPiece", "small-ranks": "byte-level BPE"}
ALIKE = (
    "small-bytes",
    "small-merges",
    "small-sentencepiece",
    "trained-bpe",
    "trained-char",
    "stories",
    "minimind",
    "gpt2",
    "llama2",
)


def in_gguf(folder: Path, tokenizer: Tokenizer, path: Path, rows: int | None = None) -> Tokenizer:
    """The tokenizer in a file without a model."""
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in tokenizer_metadata(folder, tokenizer, rows or tokenizer.vocab_size).items():
        _add(writer, key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return open_tokenizer(path)


@pytest.mark.parametrize("layout", ALIKE, indirect=True)
def test_ids_are_the_same(layout, tmp_path):
    ours, again = layout.tokenizer, in_gguf(layout.folder, layout.tokenizer, tmp_path / "m.gguf")
    assert (again.begin, again.end) == (ours.begin, ours.end)
    assert again.specials.items() - {("<unk>", 0)} == ours.specials.items() - {("<unk>", 0)}
    # ▁ is a space there; a piece that a user defined is read before a space is put in front, and not after.
    other = {"trained-char": ("▁",), "small-sentencepiece": ("<fix>", "今天")}.get(layout.name, ())
    texts = [text for text in [*ODD, *bilingual(200)] if not any(piece in text for piece in other)]
    assert len(texts) > 100
    for text in texts:
        assert again.encode(text, prompt=True) == ours.encode(text, prompt=True), text
        assert again.encode(text) == ours.encode(text), text


@pytest.mark.parametrize("layout", REFUSED, indirect=True)
def test_layouts_that_llama_cpp_has_not(layout):
    with pytest.raises(LiuliError, match=f"llama.cpp does not support {REFUSED[layout.name]} tokenizers"):
        tokenizer_metadata(layout.folder, layout.tokenizer, layout.tokenizer.vocab_size)


def test_a_tokenizer_trained_here_has_the_same_ids_on_real_text(data, tmp_path):
    """llama.cpp has no name for our cutting pattern; the one that is written cuts these 2,000 lines alike."""
    lines = [line for path in sorted((data / "text").glob("*/*.txt")) for line in path.read_text().split("\n") if line.strip()]
    train(["\n".join(lines[::9])], vocab_size=3000).write(tmp_path)
    ours = open_tokenizer(tmp_path)
    again = in_gguf(tmp_path, ours, tmp_path / "m.gguf")
    assert open_gguf(tmp_path / "m.gguf").metadata["tokenizer.ggml.pre"] == "deepseek-v3"
    chosen = lines[4 :: len(lines) // 2000][:2000]
    assert len(chosen) == 2000
    assert [again.encode(line) for line in chosen] == [ours.encode(line) for line in chosen]
    passages = ["\n".join(lines[start : start + 8]) for start in range(0, len(lines), len(lines) // 200)]
    assert [again.encode(passage) for passage in passages] == [ours.encode(passage) for passage in passages]


@pytest.mark.parametrize("layout", ["small-spaced", "small-unprefixed"], indirect=True)
def test_merges_that_scores_cannot_say(layout):
    """Scores join any two pieces that make a piece; these lists of merges do not have all such pairs."""
    with pytest.raises(LiuliError, match=r"llama\.cpp would also merge other pairs"):
        tokenizer_metadata(layout.folder, layout.tokenizer, layout.tokenizer.vocab_size)


def complete() -> tokenizers.Tokenizer:
    """As `spaced`, with all merges that make a piece."""
    content = json.loads(spaced().to_str())
    vocabulary, ordered = content["model"]["vocab"], content["model"]["merges"]
    pieces = list(dict.fromkeys("".join(pair) for pair in ordered))
    content["model"]["merges"] = [
        (piece[:at], piece[at:])
        for piece in pieces
        for at in range(1, len(piece))
        if piece[:at] in vocabulary and piece[at:] in vocabulary
    ]
    return tokenizers.Tokenizer.from_str(json.dumps(content))


def test_scores_follow_the_merges(tmp_path):
    complete().save(str(tmp_path / "tokenizer.json"))
    ours = open_tokenizer(tmp_path)
    found = tokenizer_metadata(tmp_path, ours, ours.vocab_size)
    scores = dict(zip(found["tokenizer.ggml.tokens"], found["tokenizer.ggml.scores"], strict=True))
    assert scores["th"] > scores["the"] > scores["aaa"] > scores["aaaa"]
    assert np.isfinite([*scores.values()]).all()
    again = in_gguf(tmp_path, ours, tmp_path / "m.gguf")
    for text in (text for text in ODD if not re.search("aaa|--|==", text)):  # where a piece can be made in two ways at once
        assert again.encode(text) == ours.encode(text), text


def test_rows_without_a_token_are_unused_and_tokens_without_a_row_are_left_out(tmp_path):
    complete().save(str(tmp_path / "tokenizer.json"))
    ours = open_tokenizer(tmp_path)
    more = tokenizer_metadata(tmp_path, ours, ours.vocab_size + 2)
    assert more["tokenizer.ggml.tokens"][-2:] == [f"[PAD{ours.vocab_size}]", f"[PAD{ours.vocab_size + 1}]"]
    assert more["tokenizer.ggml.token_type"][-2:].tolist() == [5, 5]
    fewer = tokenizer_metadata(tmp_path, ours, ours.vocab_size - 3)
    assert len(fewer["tokenizer.ggml.tokens"]) == len(fewer["tokenizer.ggml.scores"]) == ours.vocab_size - 3
    assert len(in_gguf(tmp_path, ours, tmp_path / "m.gguf", ours.vocab_size + 2).encode("the")) > 0


def test_names_template_and_sampling_are_kept(tmp_path):
    byte_level().save(str(tmp_path / "tokenizer.json"))
    size = open_tokenizer(tmp_path).vocab_size
    config = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": "</s>", "chat_template": "{{ messages }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    sampling = {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "eos_token_id": [size - 1, 5], "repetition_penalty": 1}
    (tmp_path / "generation_config.json").write_text(json.dumps(sampling))
    found = tokenizer_metadata(tmp_path, open_tokenizer(tmp_path), size)
    named = {key.removeprefix("tokenizer.ggml."): value for key, value in found.items() if "_id" in key or "add_" in key}
    assert named == {
        "bos_token_id": size - 2, "eos_token_id": size - 1, "padding_token_id": size - 1, "eot_token_id": 5,
        "add_bos_token": True,
    }  # fmt: skip
    assert found["tokenizer.chat_template"] == "{{ messages }}"
    said = {key.rpartition(".")[2]: value for key, value in found.items() if "sampling" in key}
    assert said == {"temp": 0.7, "top_k": 20, "top_p": 0.8, "penalty_repeat": 1.0}
    config["chat_template"] = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    found = tokenizer_metadata(tmp_path, open_tokenizer(tmp_path), size)
    assert (found["tokenizer.chat_template"], found["tokenizer.chat_template.tool_use"]) == ("a", "b")
    assert found["tokenizer.chat_templates"] == ["tool_use"]
    (tmp_path / "chat_template.jinja").write_text("c")
    assert tokenizer_metadata(tmp_path, open_tokenizer(tmp_path), size)["tokenizer.chat_template"] == "c"


@pytest.mark.parametrize("wrong", ["hot", True, [0.7], 10**400])
def test_a_sampling_setting_that_is_no_number(wrong, tmp_path):
    byte_level().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "generation_config.json").write_text(json.dumps({"top_k": wrong}))
    with pytest.raises(LiuliError, match=r"generation_config\.json: top_k must be a number, not .*; correct or remove it"):
        tokenizer_metadata(tmp_path, open_tokenizer(tmp_path), 300)


def test_a_negative_top_k_is_written(tmp_path):
    byte_level().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "generation_config.json").write_text(json.dumps({"top_k": -1}))
    in_gguf(tmp_path, open_tokenizer(tmp_path), tmp_path / "m.gguf")
    assert open_gguf(tmp_path / "m.gguf").metadata["general.sampling.top_k"] == -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, "converted to GGUF: llama.cpp does not support its pre-tokenizer"),
        ({"normalizer": {"type": "Lowercase"}}, "its tokenizer normalizes the text, which llama.cpp does not support"),
        (
            {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
            "llama.cpp does not support its pre-tokenizer",
        ),
    ],
)
def test_cutting_that_llama_cpp_does_not_know(tmp_path, change, message):
    content = json.loads(byte_level().to_str()) | change
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    tokenizer = open_tokenizer(tmp_path)
    with pytest.raises(LiuliError, match=message):
        tokenizer_metadata(tmp_path, tokenizer, tokenizer.vocab_size)


def test_pieces_without_bytes_and_other_steps(tmp_path):
    content = json.loads(spaced().to_str())
    (tmp_path / "tokenizer.json").write_text(json.dumps(content | {"normalizer": {"type": "NFKC"}}))
    tokenizer = open_tokenizer(tmp_path)
    with pytest.raises(LiuliError, match=r"its tokenizer has a step NFKC, which llama\.cpp does not support"):
        tokenizer_metadata(tmp_path, tokenizer, tokenizer.vocab_size)
    content = json.loads(complete().to_str())
    vocabulary = content["model"]["vocab"]
    vocabulary["<0xff>"] = vocabulary.pop("<0xFF>")
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(LiuliError, match=r"does not have a token for each byte, which llama\.cpp needs"):
        tokenizer_metadata(tmp_path, open_tokenizer(tmp_path), tokenizer.vocab_size)
