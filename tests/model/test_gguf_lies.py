"""Metadata of a GGUF file that is not of the type or size that it must be: a clear error in one line, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import TokenType
from helpers import families, gguf_files

from liuli.errors import LiuliError
from liuli.gguf_file import GGUFFile, StringArray, open_gguf
from liuli.model.formats.detect import frozen_itemsize, read_decoder
from liuli.model.formats.gguf_write import _add
from liuli.recipes.convert import to_folder, to_gguf
from liuli.tokens import open_tokenizer
from liuli.tokens.formats.config import read_end_ids
from liuli.tokens.formats.settings import read_settings

WRONG: dict[str, Any] = {
    "a text": "x", "an empty text": "", "a flag": True, "zero": 0, "a negative number": -1, "a large number": 2**63,
    "not a number": float("nan"), "infinity": float("inf"), "a fraction": 2.5, "numbers": np.array([1, 2], np.int32),
    "one number": np.array([3.0], np.float32), "flags": np.array([True, False]), "texts": ["x", ""],
}  # fmt: skip


def bytes_tokenizer(writer: gguf.GGUFWriter) -> None:
    tokens = [*"abcdefgh", "ab", "<|im_end|>", *(f"[{number}]" for number in range(89))]
    gguf_files.add_merges(writer, tokens, ["a b"], {"<|im_end|>": TokenType.CONTROL}, "gpt-2")
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(True)
    writer.add_chat_template("{{ messages }}")
    writer.add_array("tokenizer.chat_templates", ["tool_use"])
    writer.add_string("tokenizer.chat_template.tool_use", "{{ tools }}")
    writer.add_float32("general.sampling.temp", 0.7)
    writer.add_int32("general.sampling.top_k", 20)


def pieces_tokenizer(writer: gguf.GGUFWriter) -> None:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a"]
    types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256, *[TokenType.NORMAL] * 2]
    gguf_files.add_pieces(writer, tokens, [0.0] * len(tokens), types)
    writer.add_add_space_prefix(True)
    writer.add_bos_token_id(1)


MODELS: dict[str, tuple[Callable[[gguf.GGUFWriter], None], dict[str, Any]]] = {
    "gpt2": (bytes_tokenizer, {}),
    "llama3": (bytes_tokenizer, {}),
    "mistral": (pieces_tokenizer, {"vocab_size": 261}),
    "qwen3-yarn": (bytes_tokenizer, {}),
    "gemma3": (pieces_tokenizer, {"vocab_size": 261, "query_pre_attn_scalar": 16}),
}


@pytest.fixture(scope="module", params=MODELS)
def good(request, tmp_path_factory) -> GGUFFile:
    more, changes = MODELS[request.param]
    path = tmp_path_factory.mktemp(request.param) / "m.gguf"
    gguf_files.save_model(families.oracle(request.param, **changes), path, more=more)
    return open_gguf(path)


def save_changed(good: GGUFFile, path: Path, changes: dict[str, Any]) -> None:
    """Writes a file again with other metadata."""
    metadata = good.metadata | changes
    path.unlink(missing_ok=True)
    writer = gguf.GGUFWriter(path, metadata.pop("general.architecture"))
    for key, value in metadata.items():
        _add(writer, key, value.texts() if isinstance(value, StringArray) else value)
    for tensor in good.tensors.values():
        writer.add_tensor(tensor.name, tensor.rows.view(np.float32).reshape(tensor.shape))
    gguf_files.close(writer)


def use(path: Path) -> str | None:
    """Everything that is read of a file. Returns the message if it is refused."""
    uses = (
        lambda: read_decoder(path),
        lambda: frozen_itemsize(path),
        lambda: open_tokenizer(path).encode("ab", prompt=True),
        lambda: read_end_ids(path, 261),
        lambda: (read_settings(path, "tokenizer_config.json"), read_settings(path, "generation_config.json")),
    )
    messages = []
    for each in uses:
        try:
            each()
        except LiuliError as error:
            messages.append(str(error))
    return messages[0] if messages else None


def test_a_value_of_another_type_is_used_or_refused(good, tmp_path):
    """Every key with every wrong value: a traceback of any other error fails the test."""
    path, refused = tmp_path / "m.gguf", 0
    for key in (key for key in good.metadata if key != "general.architecture"):
        for wrong in WRONG.values():
            save_changed(good, path, {key: wrong})
            if message := use(path):
                refused += 1
                assert "\n" not in message and str(path) in message, message
    assert refused > 100


CASES = {
    "a pattern": ("gemma3", {"gemma3.attention.sliding_window_pattern": "x"}, "must be an integer or an array, not x"),
    "no heads": ("gemma3", {"gemma3.attention.head_count": 0}, "head_count must be an integer above 0, not 0"),
    "windows": ("mistral", {"llama.attention.sliding_window": np.array([7, 7, 7])}, "sliding_window must be a number, not"),
    "a base": ("llama3", {"llama.rope.freq_base": "x"}, "llama.rope.freq_base must be a number, not x"),
    "layers": ("gpt2", {"gpt2.block_count": np.array([9_999] * 3)}, "block_count is 9,999, but the file has 40 tensors"),
    "a factor": ("qwen3-yarn", {"qwen3.rope.scaling.factor": np.array([4.0, 4.0])}, "factor must be a number, not"),
    "a kind": ("qwen3-yarn", {"qwen3.rope.scaling.type": 3}, "qwen3.rope.scaling.type must be a string"),
    "a begin token": ("gpt2", {"tokenizer.ggml.add_bos_token": "no"}, "add_bos_token must be true or false, not no"),
    "a temperature": ("gpt2", {"general.sampling.temp": "hot"}, "general.sampling.temp must be a number, not hot"),
    "shards": ("gpt2", {"split.count": np.array([2, 2])}, "split.count must be an integer"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_lie_is_named(case, tmp_path):
    name, changes, message = CASES[case]
    more, settings = MODELS[name]
    gguf_files.save_model(families.oracle(name, **settings), tmp_path / "good.gguf", more=more)
    save_changed(open_gguf(tmp_path / "good.gguf"), tmp_path / "m.gguf", changes)
    assert message in (use(tmp_path / "m.gguf") or "")


def test_other_metadata_is_copied_whatever_its_type(tmp_path):
    more, _ = MODELS["gpt2"]
    gguf_files.save_model(families.oracle("gpt2"), tmp_path / "good.gguf", more=more)
    others = {
        "general.parameters": 2**40, "general.offset": -3, "general.far": -(2**40), "general.huge": 1e300,
        "general.wide": np.array([2**40, -1]), "general.tags": np.array([], np.int32),
        "general.half": np.array([0.5], np.float64),
    }  # fmt: skip
    save_changed(open_gguf(tmp_path / "good.gguf"), tmp_path / "m.gguf", others)
    to_gguf(tmp_path / "m.gguf", tmp_path / "again.gguf", "f32", "m")
    found = open_gguf(tmp_path / "again.gguf").metadata
    for key, value in others.items():
        assert np.array_equal(found.get(key, []), value), key
    to_folder(tmp_path / "m.gguf", tmp_path / "folder", read_decoder(tmp_path / "m.gguf").norm.weight.dtype)
