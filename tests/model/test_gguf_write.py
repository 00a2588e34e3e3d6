"""GGUF files that are written: what llama.cpp's converter would have written, and the same numbers read back."""

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from helpers import families, gguf_files
from transformers import Gemma3TextConfig

from liuli.errors import LiuliError
from liuli.gguf_file import open_gguf
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import read_decoder
from liuli.model.formats.families import config_from
from liuli.model.formats.gguf_write import TYPES, write_gguf

IDS = torch.arange(60)[None] * 7 % 99
# llama.cpp has a fixed window pattern, and no biases, in Gemma; Qwen has no window there.
OTHERS = ("qwen2-window", "gemma3", "gemma3-linear")
FAMILIES = [name for name in families.FAMILIES if name not in OTHERS]
GEMMA = Gemma3TextConfig(
    **families.SHAPE | {"num_hidden_layers": 7}, head_dim=16, query_pre_attn_scalar=16, sliding_window=7, pad_token_id=None
)


def written(decoder: Decoder, path, kind: str = "f32") -> dict[str, int]:
    return write_gguf(decoder, path, kind, {}, "a model")


@pytest.fixture
def gemma(monkeypatch, tmp_path) -> Decoder:
    monkeypatch.setitem(families.FAMILIES, "gemma", GEMMA)
    families.save("gemma", tmp_path / "gemma")
    return read_decoder(tmp_path / "gemma")


@pytest.mark.parametrize("name", FAMILIES)
def test_the_file_is_that_of_llamas_converter(pair_of, name, tmp_path):
    """Names, order of rows, shapes and bytes of every tensor."""
    pair = pair_of(name)
    gguf_files.save_model(pair.theirs, tmp_path / "theirs.gguf")
    written(pair.ours, tmp_path / "ours.gguf")
    theirs, ours = (open_gguf(tmp_path / f"{who}.gguf") for who in ("theirs", "ours"))
    assert ours.tensors.keys() == theirs.tensors.keys()
    for key, tensor in theirs.tensors.items():
        found = ours.tensors[key]
        assert (found.type, found.shape) == (tensor.type, tensor.shape)
        if key == "rope_freqs.weight":
            assert np.allclose(found.rows.view(np.float32), tensor.rows.view(np.float32), rtol=1e-6)
        else:
            assert (found.rows == tensor.rows).all(), key
    said = {key: value for key, value in theirs.metadata.items() if not isinstance(value, str)}
    for key, value in said.items():
        assert ours.metadata[key] == pytest.approx(value), key


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_written_is_read_to_the_bit(pair_of, name, tmp_path):
    ours = pair_of(name).ours
    written(ours, tmp_path / "m.gguf")
    again = read_decoder(tmp_path / "m.gguf")
    assert again.config == ours.config
    with torch.no_grad():
        assert torch.equal(again(IDS), ours(IDS))


@pytest.mark.parametrize("name", ["llama2", "llama3", "qwen2", "qwen3", "gpt2"])
def test_transformers_reads_the_same(pair_of, name, tmp_path):
    pair = pair_of(name)
    written(pair.ours, tmp_path / "m.gguf")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(  # it does not read all settings of a file
        tmp_path, gguf_file="m.gguf", config=pair.theirs.config, dtype=torch.float32
    ).eval()
    with torch.no_grad():
        pair.expect(theirs(IDS).logits, IDS)


def test_gemma_is_written_with_whole_norms(gemma, tmp_path):
    written(gemma, tmp_path / "m.gguf")
    again = read_decoder(tmp_path / "m.gguf")
    assert again.config == gemma.config
    with torch.no_grad():
        expected = gemma(IDS)
        assert (again(IDS) - expected).abs().max() < 5e-5 * expected.std()
    stored = open_gguf(tmp_path / "m.gguf").tensors["blk.0.attn_norm.weight"].rows.view(np.float32).ravel()
    assert np.allclose(stored, 1 + gemma.state_dict()["blocks.0.attention_norm.weight"].numpy())


@pytest.mark.parametrize("kind", TYPES)
def test_each_type_is_what_the_package_quantises(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("liuli.model.formats.gguf_write.BLOCK", 200)  # some rows at once
    theirs = families.oracle("llama2", hidden_size=64, intermediate_size=80)
    theirs.save_pretrained(tmp_path)
    counts = written(read_decoder(tmp_path), tmp_path / "m.gguf", kind)
    wanted, table = TYPES[kind][0], TYPES["q8_0" if kind in ("q4_0", "q4_1", "q5_0", "q5_1") else kind][0]
    expected = gguf_files.tensors_of(theirs)
    file = open_gguf(tmp_path / "m.gguf")
    assert sum(counts.values()) == len(expected) == len(file.tensors)
    for name, tensor in file.tensors.items():
        uneven = expected[name].shape[-1] % 32 != 0 and kind.startswith("q")  # the rows of ffn_down, of 80 numbers
        right = Type.F32 if expected[name].ndim == 1 else Type.F16 if uneven else wanted
        right = table if name in ("token_embd.weight", "output.weight") else right
        assert tensor.type == right, name
        packed = gguf.quants.quantize(expected[name], right)
        assert tensor.rows.tobytes() == packed.tobytes(), name
    assert file.metadata["general.file_type"] == int(TYPES[kind][1])


def test_numbers_that_are_too_large_for_f16(pair_of, tmp_path):
    decoder = read_decoder(pair_of("llama2").folder)
    with torch.no_grad():
        decoder.blocks.get_submodule("1.feed_forward.up").weight.data = torch.full((48, 32), 1e5)
    with pytest.raises(LiuliError, match=r"blk.1.ffn_up.weight has numbers that are too large for F16: give --type bf16"):
        written(decoder, tmp_path / "m.gguf", "f16")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("qwen2-window", {}, "an attention window in a qwen2 model"),
        ("qwen3", {"attention_bias": True}, "biases in a qwen3 model"),
        ("llama2", {"hidden_act": "gelu"}, "the activation gelu in a llama model"),
        ("gemma3", {}, "a layer pattern in Gemma other than five sliding-window layers"),
        ("gemma3-linear", {"attention_bias": False, "sliding_window": 8}, "a layer pattern in Gemma other than"),
        ("gemma", {"query_pre_attn_scalar": 20}, "attention scores divided by √20 in Gemma"),
        ("gemma", {"rope_parameters": {"sliding_attention": {"rope_theta": 9.0}}}, "a rotary base of 9.0 in Gemma"),
    ],
)
def test_what_llama_cpp_would_compute_in_another_way_is_refused(name, change, message, tmp_path):
    raw = (families.FAMILIES | {"gemma": GEMMA})[name].to_dict() | change
    with torch.device("meta"):
        decoder = Decoder(config_from(raw, "config.json"))
    with pytest.raises(LiuliError, match=rf"does not support {message}.*, so this model cannot be converted to GGUF"):
        written(decoder, tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()
