"""Which tokens of a GGUF file are control tokens and which end a text: as in llama.cpp, whatever types the file gives.

What is expected here was compared once with llama.cpp's libllama on the same files: `llama_vocab_is_control`,
`llama_vocab_is_eog` and, for byte-level BPE, the ids of all texts. With scores, llama.cpp joins pieces into control tokens in
any text (`</` and `s>`), which is not followed.
"""

from pathlib import Path

import gguf
import pytest
from gguf import TokenType
from helpers import gguf_files

from liuli.errors import LiuliError
from liuli.tokens import open_tokenizer
from liuli.tokens.formats.config import read_end_ids
from liuli.tokens.formats.gguf_vocabulary import END_TEXTS, FILLING_TEXTS
from liuli.tokens.tokenizer import Tokenizer

FILLING = [text for group in FILLING_TEXTS.values() for text in group]
OTHERS = ["<|im_start|>", "<bos>", "<tool_call>", "</table>"]  # texts that llama.cpp does not recognise
CONTENT = "a<|im_end|></s><|fim_prefix|><eos>b"


def bytes_file(path: Path, special: list[str], kind: TokenType, **names: int) -> Path:
    """A byte-level BPE without merges, with some tokens of a kind after the bytes."""
    from tokenizers.pre_tokenizers import ByteLevel

    def add(writer: gguf.GGUFWriter) -> None:
        tokens = [*sorted(ByteLevel.alphabet()), "ab", *special]
        gguf_files.add_merges(writer, tokens, ["a b"], dict.fromkeys(special, kind), "gpt-2")
        for name, number in names.items():
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", number)

    return gguf_files.save_metadata(path, add)


def pieces_file(path: Path, special: list[str], kind: TokenType) -> Path:
    """A BPE with scores, with some tokens of a kind after the bytes. Its pieces make </s> and <eos>."""

    def add(writer: gguf.GGUFWriter) -> None:
        pieces = ["▁", "a", "b", "ab", "<", "/", "s", ">", "e", "o", "</", "s>", "eo", "<eo"]
        tokens = ["<unk>", "<s>", "[end]", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, *special]
        types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256]
        types += [TokenType.NORMAL] * len(pieces) + [kind] * len(special)
        gguf_files.add_pieces(writer, tokens, [-float(number) for number in range(len(tokens))], types)

    return gguf_files.save_metadata(path, add)


def texts_of(tokenizer: Tokenizer, ids: list[int]) -> set[str]:
    return {tokenizer.token(number).text for number in ids}


KINDS = [TokenType.NORMAL, TokenType.USER_DEFINED, TokenType.CONTROL]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("save", [bytes_file, pieces_file])
def test_texts_that_llama_cpp_recognises_are_control_tokens(save, kind, tmp_path):
    first = [group[0] for group in FILLING_TEXTS.values()]
    path = save(tmp_path / "m.gguf", [*END_TEXTS, *first, *OTHERS], kind)
    tokenizer = open_tokenizer(path)
    recognised = {*END_TEXTS, *first}
    others = {*OTHERS} if kind == TokenType.CONTROL else set()
    own = {"<unk>", "<s>", "[end]"} if save is pieces_file else set()
    assert tokenizer.specials.keys() == recognised | others | own
    ends = texts_of(tokenizer, read_end_ids(path, tokenizer.vocab_size))
    assert ends == {*END_TEXTS, "<|fim_pad|>", "<|fim_repo|>", "<|file_sep|>"} | (own & {"[end]"})
    assert not {*tokenizer.encode(CONTENT)} & {*tokenizer.specials.values()}
    assert texts_of(tokenizer, tokenizer.encode(CONTENT, prompt=True)) >= {"<|im_end|>", "</s>", "<|fim_prefix|>", "<eos>"}
    assert tokenizer.decode(tokenizer.encode(CONTENT)) == CONTENT


@pytest.mark.parametrize("text", [*END_TEXTS, *FILLING])
def test_each_text_is_recognised_alone(text, tmp_path):
    path = bytes_file(tmp_path / "m.gguf", [text], TokenType.NORMAL)
    tokenizer = open_tokenizer(path)
    assert tokenizer.specials == {text: 257}
    ending = {*END_TEXTS, *(each for name in ("fim_pad", "fim_rep", "fim_sep") for each in FILLING_TEXTS[name])}
    assert read_end_ids(path, 258) == ([257] if text in ending else [])


def test_a_name_in_the_metadata_is_believed_before_a_text(tmp_path):
    path = bytes_file(tmp_path / "m.gguf", ["<PAD>", "[PAD]", "pad"], TokenType.NORMAL, fim_pad=259)
    assert open_tokenizer(path).specials == {}
    assert read_end_ids(path, 260) == [259]


def test_an_id_that_does_not_exist_leaves_the_default(tmp_path):
    path = pieces_file(tmp_path / "m.gguf", [], TokenType.NORMAL)
    expected = read_end_ids(path, 300)

    def add(writer: gguf.GGUFWriter) -> None:
        tokens = ["<unk>", "<s>", "[end]", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a"]
        types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256, *[TokenType.NORMAL] * 2]
        gguf_files.add_pieces(writer, tokens, [0.0] * len(tokens), types)
        writer.add_eos_token_id(32_000)

    assert read_end_ids(gguf_files.save_metadata(tmp_path / "n.gguf", add), 261) == expected == [2]


def test_an_id_must_be_a_number(tmp_path):
    def add(writer: gguf.GGUFWriter) -> None:
        gguf_files.add_merges(writer, ["a", "b", "ab"], ["a b"], {}, "gpt-2")
        writer.add_string("tokenizer.ggml.eos_token_id", "b")

    path = gguf_files.save_metadata(tmp_path / "m.gguf", add)
    with pytest.raises(LiuliError, match=r"tokenizer\.ggml\.eos_token_id must be an integer, not b; download it again"):
        open_tokenizer(path)
