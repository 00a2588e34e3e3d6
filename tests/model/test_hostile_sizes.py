"""Sizes and numbers that files claim: refused in one line before anything of that size is made."""

import json
import resource
import zipfile
from pathlib import Path

import pytest
import torch
from helpers import families
from helpers.changes import change_json
from safetensors.torch import load_file, save_file
from test_lora import with_random_adapter

from liuli.errors import LiuliError
from liuli.model.adapters import lora, peft_folder
from liuli.model.formats import hugging_face
from liuli.model.formats.detect import hash_model, read_config, read_decoder

HUGE = 10**400  # larger than a float can be
LONGEST, MEMORY = 700, 100_000  # characters of a message; kB that the process may grow by


def refused(call, *given) -> str:
    """The message, of one short line without control characters, of a refusal that takes hardly any memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LiuliError) as error:
        call(*given)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY
    message = str(error.value)
    assert message.isprintable() and len(message) < LONGEST
    return message


@pytest.fixture
def folder(tmp_path) -> Path:
    families.save("llama2", tmp_path)
    return tmp_path


@pytest.fixture
def no_decoder(monkeypatch):
    """Fails if a decoder is built."""
    monkeypatch.setattr(hugging_face, "Decoder", lambda *_: pytest.fail("a decoder was built"))


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_hidden_layers": 10_001}, "num_hidden_layers"), ({"num_hidden_layers": 10**12}, "num_hidden_layers"),
        ({"num_hidden_layers": HUGE}, "num_hidden_layers"), 
        ({"num_hidden_layers": 9_999}, "9,999 layers, but the files hold 30 tensors"),
        ({"num_hidden_layers": 4}, "the tensors model.layers.3"),
       
        ({"max_position_embeddings": 10**12}, "max_position"), ({"max_position_embeddings": HUGE}, "max_position"),
        ({"vocab_size": 10**12}, "vocab_size"), ({"hidden_size": 10**19}, "hidden_size"),
        ({"head_dim": 10**9}, "head_dim"), ({"intermediate_size": 10**30}, "intermediate_size"),
        ({"num_attention_heads": 10**10, "num_key_value_heads": 10**10}, "num_attention_heads"),
        ({"rms_norm_eps": HUGE}, "rms_norm_eps"), ({"rms_norm_eps": 1e300}, "rms_norm_eps"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"), ({"rms_norm_eps": 5e-324}, "rms_norm_eps"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": HUGE}}, "too large"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": float("inf")}}, "rope_theta"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e300}}, "rope_theta"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": float("nan")}}, "rope_theta"),
        ({"hidden_act": "x" * 10_000}, "activation"), ({"model_type": "y" * 10_000}, "architecture"),
        ({"hidden_act": "\x1b]0;title\x07\u202e"}, "activation"), ({"model_type": "\x1b[31m\r\x9b"}, "architecture"),
        ({"quantization_config": "\x1b[2J"}, "quantization_config"), ({"hidden_size": [[]] * 10_000}, "hidden_size"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_configs_that_claim_too_much(folder, change, named):
    change_json(folder / "config.json", **change)
    assert named in refused(read_decoder, folder)
    assert named in refused(hash_model, folder)


YARN = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "original_max_position_embeddings": 16}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize(
    "given",
    [
        *({**YARN, name: value} for name in ("factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "mscale")
          for value in (HUGE, 1e300, float("inf"), float("nan"), -1.0) if (name, value) != ("mscale", -1.0)),
        *({**LLAMA3, name: value} for name in ("factor", "low_freq_factor", "high_freq_factor")
          for value in (HUGE, 1e300, 1e-300, float("nan"))),
        {**LLAMA3, "low_freq_factor": 4.0}, {**YARN, "beta_slow": 1e-300}, {**YARN, "attention_factor": HUGE},
        {**YARN, "attention_factor": 1e39}, {**YARN, "truncate": "no"}, {**YARN, "factor": "\x1b[31m"},
        {"rope_type": "linear", "factor": 1e9, "rope_theta": 5e2}, {"rope_type": "\x1b[31m" * 100},
    ],
    ids=lambda value: str(value)[:90],
)  # fmt: skip
def test_rotary_numbers_that_overflow(folder, given):
    if "mscale" in given:
        given = {**given, "mscale_all_dim": 1e-300}
    change_json(folder / "config.json", rope_parameters=given)
    assert "config.json" in refused(read_config, folder)


@pytest.mark.parametrize(
    "types", [["\x1b]52;c;x\x07"] * 3, ["\u202eabc", "x", "y"], "full_attention", {"a": 1}, [1, 2, 3]], ids=str
)
def test_layer_types_that_are_none(tmp_path, types):
    families.save("qwen2-window", tmp_path)
    change_json(tmp_path / "config.json", layer_types=types)
    assert "layer" in refused(read_config, tmp_path)


def test_nesting_that_is_too_deep_to_print(folder):
    nested: list = []
    for _ in range(700):
        nested = [nested]
    change_json(folder / "config.json", hidden_size=nested, quantization_config=None)
    assert "config.json" in refused(read_config, folder)


@pytest.mark.parametrize("vocab_size", [2**30, 98, 100])
def test_a_vocabulary_that_the_tensors_do_not_have(folder, vocab_size):
    change_json(folder / "config.json", vocab_size=vocab_size)
    assert "embed_tokens.weight has shape [99, 32], but config.json implies" in refused(read_decoder, folder)


def test_names_of_tensors_that_drive_a_terminal(folder):
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"\x1b]0;evil\x07\u202e" + "n" * 500: torch.ones(1)}, folder / "model.safetensors")
    assert "model does not have: model.\ufffd]0;evil" in refused(read_decoder, folder)


@pytest.mark.parametrize("name", ["\x1b[31m.safetensors", "a" * 5000, "..", "", "a\x00b"], ids=repr)
def test_names_of_shards(folder, name):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    assert "is missing" in refused(read_decoder, folder)


# PyTorch's format.


def save_bin(folder: Path, **changes) -> None:
    """The folder's tensors as pytorch_model.bin, some of them changed; names with __ for a dot."""
    tensors = load_file(folder / "model.safetensors") | {name.replace("__", "."): each for name, each in changes.items()}
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(1, 32).expand(2**30, 32), torch.ones(130).as_strided((99, 32), (1, 1)),
        torch.empty(2**30, 32, device="meta"), torch.ones(1, 32).to_sparse(),
        torch.sparse_coo_tensor(torch.zeros(2, 1, dtype=torch.int64), torch.ones(1), (2**30, 32)),
    ],
    ids=["expanded", "overlapping", "meta", "sparse", "sparse and huge"],
)  # fmt: skip
@pytest.mark.parametrize("call", [read_decoder, hash_model], ids=["read", "hash"])
def test_tensors_without_their_numbers(folder, tensor, call):
    save_bin(folder, model__embed_tokens__weight=tensor)
    change_json(folder / "config.json", vocab_size=len(tensor))
    message = refused(call, folder)
    assert "pytorch_model.bin" in message
    assert "embed_tokens.weight of shape" in message and "not stored as dense numbers" in message


def test_a_small_file_that_is_a_large_model(folder):
    """Every layer the same numbers: 30 times what the file holds."""
    shared = torch.ones(50_000)
    save_bin(folder, **{f"layer{i}": shared.view(500, 100) for i in range(30)})
    assert "claim far more numbers than the file contains" in refused(read_decoder, folder)


def test_a_compressed_bin(folder):
    save_bin(folder)
    path = folder / "pytorch_model.bin"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    assert "the archive is compressed" in refused(read_decoder, folder)


@pytest.mark.parametrize("cut", [1, 7, 50, 90])
def test_a_bin_whose_pickle_is_damaged(folder, cut):
    save_bin(folder)
    path = folder / "pytorch_model.bin"
    data = bytearray(path.read_bytes())
    start = data.index(b"\x80\x02")
    data[start + 2 : start + 2 + 3 * cut : 3] = b"\x00R0\x85" * (cut // 4) + b"R" * (cut % 4)
    path.write_bytes(data)
    assert "pytorch_model.bin" in refused(read_decoder, folder)


# Adapters.


@pytest.fixture
def adapter(pair_of, tmp_path) -> tuple[Path, Path]:
    base = pair_of("qwen3").folder
    peft_folder.save(with_random_adapter(read_decoder(base)), tmp_path / "adapter", "owner/base", hash_model(base))
    return base, tmp_path / "adapter"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"r": 10**9}, "rank"), ({"r": 10**19}, "rank"), ({"r": HUGE}, "rank"), ({"r": 60_000}, "shape"), ({"r": [4]}, "rank"),
        ({"lora_alpha": HUGE}, "alpha"), ({"lora_alpha": 1e300}, "alpha"), ({"lora_alpha": float("nan")}, "alpha"),
        ({"lora_dropout": HUGE}, "dropout"), ({"trainable_token_indices": [10**12]}, "cannot be trained"),
        ({"trainable_token_indices": ["\x1b[31m"] * 10_000}, "trainable_token_indices"),
        ({"\x1b]0;title\x07": "\u202e"}, "not supported"), ({"peft_type": "\x9b31m" * 1000}, "peft_type"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_adapters_that_claim_too_much(adapter, change, named):
    base, folder = adapter
    decoder = read_decoder(base)
    change_json(folder / peft_folder.CONFIG, **change)
    assert named in refused(peft_folder.load, decoder, folder, "theirs", base)
    assert not lora.adapted(decoder)
