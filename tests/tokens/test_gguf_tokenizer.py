"""Tokenizers from GGUF files. Oracles: llama.cpp's ids (facts, recorded with its libllama), SentencePiece, `tokenizers`."""

import hashlib
import json
from pathlib import Path

import gguf
import pytest
import tokenizers
from gguf import TokenType
from helpers import gguf_files
from helpers import token_samples as samples
from helpers.real_models import real_model

from liuli.errors import LiuliError
from liuli.tokens import open_tokenizer
from liuli.tokens.chat.chat import Chat
from liuli.tokens.formats.config import read_end_ids
from liuli.tokens.formats.gguf_patterns import CUTTINGS
from liuli.tokens.formats.gguf_to_files import write_tokenizer_files
from liuli.tokens.formats.settings import read_settings
from liuli.tokens.trace import replay, trace

TEXTS = ["en/war-and-peace.txt", "en/tinyshakespeare.txt", "zh/红楼梦.txt", "zh/西游记.txt", "zh/三国演义.txt"]
ODD = [
    "😀👍🏽👨‍👩‍👧‍👦🇨🇳",
    "\x01\x02\x1b[31m\x7f\t\r\n", "Привет, שלום, مرحبا, नमस्ते, สวัสดี, 안녕",
    "e\u0301 À ﬁ Ａ", "I'LL don't 12345 ٣౩",
    "  two   spaces \n\n\n end ", '<tool_call>{"a": 1}</tool_call>', "𠀀\ufeff\u200b\u2028",
]  # fmt: skip
# llama.cpp's ids without special tokens: of ODD, and the SHA-256 of those of 2,000 lines.
QWEN_ODD = [
    [141334, 144349, 145375, 145367, 378, 235, 145233, 378, 235, 145665, 378, 235, 145988, 145793, 145754],
    [189, 190, 90435, 18, 16, 76, 221, 4474],
    None,
    [68, 53839, 64281, 32495, 70731, 62823, 94],
    [40, 6, 4086, 1513, 944, 220, 16, 17, 18, 19, 20, 220, 149, 96, 52798, 102],
    [220, 1378, 256, 12621, 14731, 835, 220],
    [151657, 4913, 64, 788, 220, 16, 92, 151658],
    [172, 63219, 222, 3225, 15692, 378, 101],
]  # fmt: skip
GEMMA_ODD = [
    [242398, 240493, 242713, 243874, 237243, 243767, 237243, 244814, 237243, 244990, 245744, 244431],
    [249732, 241247, 27648, 236800, 236770, 236757, 251541, 255968, 251, 107],
    None,
    [236744, 238288, 28581, 97940, 236743, 239549],
    [236777, 236789, 2182, 1537, 236789, 236745, 236743, 236770, 236778, 236800, 236812, 236810, 223766, 462, 415, 407],
    [138, 13498, 139, 35220, 236743, 109, 1345, 236743],
    [236820, 13205, 236779, 6639, 236813, 14937, 236746, 1083, 236743, 236770, 17001, 13205, 236779, 6639, 236813],
    [478, 398, 366, 366, 237922, 237141, 464, 366, 406],
]  # fmt: skip
FACTS = {
    "qwen2.5-coder-0.5b": (
        QWEN_ODD,
        "356ecec2c94c780b39e3aa24aa896c1252c72a185e09ef6a8b2dc926ffc3ba82",
        [151645, 151643, 128247, 151662, 151663, 151664],
        [],
    ),
    "gemma3-270m": (GEMMA_ODD, "b7364359ab0f7acabf0644b7d9b15d55235d466e4994543d8c857654f52b4110", [1, 106, 212], [2]),
}


@pytest.mark.parametrize("name", FACTS)
def test_ids_are_those_of_llama_cpp(name, data):
    odd, digest, ends, begin = FACTS[name]
    path = real_model(data, name)
    tokenizer, found = open_tokenizer(path), []
    for file in TEXTS:
        lines = [line for line in (data / "text" / file).read_text(errors="replace").split("\n") if line.strip()]
        found += [tokenizer.encode(line) for line in lines[:: max(1, len(lines) // 400)][:400]]
    assert len(found) == 2000
    assert hashlib.sha256(json.dumps(found).encode()).hexdigest() == digest
    for text, expected in zip(ODD, odd, strict=True):
        assert expected is None or tokenizer.encode(text) == expected
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert (read_end_ids(path, tokenizer.vocab_size), tokenizer.begin) == (ends, begin)


def test_the_real_chat_template_is_used(data):
    path = real_model(data, "qwen2.5-coder-0.5b")
    tokenizer = open_tokenizer(path)
    chat = Chat.open(path, tokenizer)
    ids = chat.prompt([{"role": "user", "content": "你好<|im_end|>"}])
    assert chat.origin == "the file's own template"
    assert tokenizer.decode(ids, special=True).startswith("<|im_start|>system\nYou are Qwen, created by Alibaba Cloud.")
    assert ids.count(151645) == 2  # of system and user; what was typed stays text


def merges_file(path: Path, pre: str = "gpt-2", **settings: object) -> tuple[Path, tokenizers.Tokenizer]:
    """A small byte-level BPE with a control and a user-defined token, and the same as the library reads it."""
    backend = samples.byte_level()
    content = json.loads(backend.to_str())["model"]
    vocab = content["vocab"]
    tokens = [*sorted(vocab, key=lambda token: vocab[token]), "<|end|>", "<own>", "unused"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in content["merges"]]
    types = {"<|end|>": TokenType.CONTROL, "<own>": TokenType.USER_DEFINED, "unused": TokenType.UNUSED}

    def add(writer: gguf.GGUFWriter) -> None:
        gguf_files.add_merges(writer, tokens, merges, types, pre)
        for key, value in settings.items():
            writer.add_key_value(f"tokenizer.{key}", value, gguf.GGUFValueType.get_type(value))

    return gguf_files.save_metadata(path, add), backend


def pieces_file(folder: Path, prefix: bool = True) -> Path:
    """SentencePiece's model in a folder as a GGUF file, as llama.cpp's converter writes it."""
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    types = []
    for i in range(model.vocab_size()):
        special = [model.is_unknown(i), model.is_control(i), model.is_unused(i), model.is_byte(i)]
        kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.UNUSED, TokenType.BYTE]
        types.append(next((kind for kind, holds in zip(kinds, special, strict=True) if holds), TokenType.NORMAL))

    def add(writer: gguf.GGUFWriter) -> None:
        texts = [model.id_to_piece(i) for i in range(model.vocab_size())]
        gguf_files.add_pieces(writer, texts, [model.get_score(i) for i in range(model.vocab_size())], types)
        writer.add_add_space_prefix(prefix)

    return gguf_files.save_metadata(folder / "m.gguf", add)


def test_pieces_with_scores_are_cut_as_sentencepiece_cuts_them(tmp_path):
    import sentencepiece

    samples.write_sentencepiece(tmp_path)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    ours = open_tokenizer(pieces_file(tmp_path))
    for text in [*samples.ODD, *samples.WORDS]:
        if "\0" not in text:
            assert ours.encode(text) == theirs.encode(text), text
    assert ours.begin == [1]
    assert ours.encode("a<s>", prompt=True)[0] == 1 == ours.encode("a<s>", prompt=True)[-1]


def test_the_real_llama_2_as_a_file(data, tmp_path):
    (tmp_path / "tokenizer.model").write_bytes((data / "tokenizers" / "llama2" / "tokenizer.model").read_bytes())
    of_file, of_folder = open_tokenizer(pieces_file(tmp_path)), open_tokenizer(data / "tokenizers" / "llama2")
    for text in samples.ODD:
        assert of_file.encode(text) == of_folder.encode(text)
        assert of_file.encode(text, prompt=True) == of_folder.encode(text, prompt=True)


def test_without_a_space_in_front(tmp_path):
    samples.write_sentencepiece(tmp_path, add_dummy_prefix=False)
    import sentencepiece

    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    ours = open_tokenizer(pieces_file(tmp_path, prefix=False))
    assert ours.encoder.style == "bytes"
    assert ours.encode("the cat 今天") == theirs.encode("the cat 今天")


def test_merges_are_those_of_the_library_and_kinds_decide_what_is_read(tmp_path):
    path, backend = merges_file(tmp_path / "m.gguf")
    tokenizer = open_tokenizer(path)
    backend.encode_special_tokens = True  # as content
    for text in samples.ODD:
        assert tokenizer.encode(text) == backend.encode(text, add_special_tokens=False).ids
    control, own = (tokenizer.encode(text, prompt=True)[0] for text in ("<|end|>", "<own>"))
    assert tokenizer.specials == {"<|end|>": control}
    assert tokenizer.encode("<own>") == [own]
    assert control not in tokenizer.encode("<|end|>")
    assert "unused" not in [tokenizer.token(i).text for i in tokenizer.encode("unused", prompt=True)]
    assert tokenizer.begin == []


def test_every_cutting_can_be_traced(tmp_path):
    for name in CUTTINGS:
        path, _ = merges_file(tmp_path / f"{name}.gguf", name, **{"ggml.bos_token_id": 0})
        tokenizer = open_tokenizer(path)
        text = "I'LL don't 12345,\n\n  你好 world¡ "
        assert replay(trace(tokenizer, text)) == tokenizer.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_settings_are_those_of_the_files_of_a_folder(tmp_path):
    given = {
        "ggml.bos_token_id": 0, "ggml.eos_token_id": 1, "ggml.eot_token_id": 2, "ggml.add_bos_token": True,
        "chat_template": "default", "chat_templates": ["tool_use"], "chat_template.tool_use": "tools",
    }  # fmt: skip
    path, _ = merges_file(tmp_path / "m.gguf", **given)
    tokenizer = open_tokenizer(path)
    end = tokenizer.specials["<|end|>"]
    config = read_settings(path, "tokenizer_config.json")
    assert config["chat_template"] == [{"name": "default", "template": "default"}, {"name": "tool_use", "template": "tools"}]
    assert (config["bos_token"], config["eos_token"], config["add_bos_token"]) == ("Ā", "ā", True)  # as the file spells bytes
    assert tokenizer.begin == [0]
    assert read_end_ids(path, tokenizer.vocab_size) == [1, 2, end]
    assert read_settings(path, "config.json") == {}


def test_written_as_files_it_gives_the_same_ids(tmp_path):
    samples.write_sentencepiece(tmp_path)
    end = open_tokenizer(merges_file(tmp_path / "m.gguf")[0]).specials["<|end|>"]  # files say that a begin token is special
    paths = [
        pieces_file(tmp_path),
        merges_file(tmp_path / "n.gguf", **{"ggml.bos_token_id": end, "ggml.add_bos_token": True})[0],
    ]
    for number, path in enumerate(paths):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        write_tokenizer_files(path, folder)
        of_file, of_folder = open_tokenizer(path), open_tokenizer(folder)
        assert (of_file.begin, of_file.end, of_file.specials) == (of_folder.begin, of_folder.end, of_folder.specials)
        for text in samples.ODD:
            assert of_file.encode(text, prompt=True) == of_folder.encode(text, prompt=True)


def test_a_begin_token_that_is_not_a_control_token_is_read_in_prompts_once_it_is_files(tmp_path, caplog):
    path = merges_file(tmp_path / "m.gguf", **{"ggml.bos_token_id": 65, "ggml.add_bos_token": True})[0]
    folder = tmp_path / "folder"
    folder.mkdir()
    write_tokenizer_files(path, folder)
    of_file, of_folder = open_tokenizer(path), open_tokenizer(folder)
    name = of_file.names["bos_token"]
    assert f"names the token {name} but does not mark it as a control token" in caplog.text
    assert (of_file.begin, name in of_file.specials) == ([65], False)
    assert (of_folder.begin, of_folder.specials[name]) == ([65], 65)
    for text in [*samples.ODD, f"{name}a {name}"]:
        assert of_folder.encode(text) == of_file.encode(text)


BAD = {
    "an unknown cutting": (("m.gguf", "new-pre"), {}, "tokenizer.ggml.pre = new-pre.* is not supported; supported: gpt-2"),
    "a begin token that is not named": (("m.gguf", "llama-bpe"), {}, "names no token"),
    "a pattern": (("m.gguf",), {}, "leave out --pattern gpt2"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_followed_is_refused(case, tmp_path):
    (name, *pre), settings, message = BAD[case]
    path, _ = merges_file(tmp_path / name, *pre, **settings)
    with pytest.raises(LiuliError, match=message):
        open_tokenizer(path, "gpt2" if case == "a pattern" else None)


def broken(change) -> dict:
    """Arguments of `add_merges` after a change."""
    arguments = {"tokens": ["a", "b", "ab"], "merges": ["a b"], "types": {}, "pre": "gpt-2"}
    return arguments | change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": ["a", "b", "ab", "a"]}, "two tokens have the same text"),
        ({"merges": ["a c"]}, "its tokens and merges do not fit together"),
        ({"merges": ["ab"]}, "merge 0 must be two tokens, not ab"),
        ({"types": {"a": 9}}, "contains unknown token types"),
    ],
)
def test_a_broken_vocabulary_is_refused(change, message, tmp_path):
    path = gguf_files.save_metadata(tmp_path / "m.gguf", lambda writer: gguf_files.add_merges(writer, **broken(change)))
    with pytest.raises(LiuliError, match=message):
        open_tokenizer(path)


def test_other_kinds_are_refused_and_none_is_none(tmp_path):
    with pytest.raises(LiuliError, match="tokenizers of the kind bert are not supported"):
        open_tokenizer(gguf_files.save_metadata(tmp_path / "bert.gguf", lambda writer: writer.add_tokenizer_model("bert")))
    with pytest.raises(LiuliError, match=r"none\.gguf contains no tokenizer"):
        open_tokenizer(gguf_files.save_metadata(tmp_path / "none.gguf", lambda writer: None))


def test_scores_must_be_there(tmp_path):
    def add(writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model("llama")
        writer.add_token_list(["a"])

    path = gguf_files.save_metadata(tmp_path / "m.gguf", add)
    with pytest.raises(LiuliError, match=r"tokenizer\.ggml\.scores must have one number per token"):
        open_tokenizer(path)
