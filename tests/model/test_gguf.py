"""GGUF files: the same numbers as `transformers` has, from every family and type; nothing of a file is believed."""

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from helpers import families, gguf_files
from helpers.real_models import real_model

from liuli.errors import LiuliError
from liuli.gguf_file import TYPES, open_gguf
from liuli.hub import find_model
from liuli.model.config import PRESETS
from liuli.model.formats import gguf as gguf_format
from liuli.model.formats.detect import hash_model, read_config, read_decoder
from liuli.model.formats.gguf_blocks import dequantize
from liuli.model.formats.gguf_names import gguf_name
from liuli.model.formats.tensor_names import tensor_names
from liuli.tokens import open_tokenizer

WITHOUT_KEYS = ("qwen2-window",)  # a window in some layers, which GGUF has no keys for
FAMILIES = [name for name in families.FAMILIES if name not in WITHOUT_KEYS]
IDS = torch.arange(60)[None] * 7 % 99


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_the_model_that_was_written(name, tmp_path):
    # A file has no key for what scores are divided by: it is the head width.
    theirs = families.oracle(name, **({"query_pre_attn_scalar": 16} if name.startswith("gemma") else {}))
    gguf_files.save_model(theirs, tmp_path / "m.gguf")
    ours = read_decoder(tmp_path / "m.gguf")
    with torch.no_grad():
        expected = theirs(IDS).logits
        found = ours(IDS)
    assert expected.std() > 1
    assert (found - expected).abs().max() < 5e-5 * expected.std()


@pytest.mark.parametrize("name", ["llama2", "qwen2", "qwen3", "gpt2"])
def test_transformers_reads_the_same_from_a_quantised_file(name, tmp_path):
    wide = {"n_embd": 64} if name == "gpt2" else {"hidden_size": 64, "intermediate_size": 96}
    kinds = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.F16, Type.BF16]
    written = families.oracle(name, **wide)
    gguf_files.save_model(written, tmp_path / "m.gguf", lambda key, _: kinds[sum(key.encode()) % len(kinds)])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(  # it does not read all settings of a file
        tmp_path, gguf_file="m.gguf", config=written.config, dtype=torch.float32
    ).eval()
    ours = read_decoder(tmp_path / "m.gguf")
    with torch.no_grad():
        expected = theirs(IDS).logits
        assert (ours(IDS) - expected).abs().max() < 5e-5 * expected.std()


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gpt2", "gemma3_text"])
def test_names_are_those_of_the_package(family):
    preset = {"llama": "llama3-8b", "qwen2": "qwen2.5-0.5b", "qwen3": "qwen3-0.6b"}
    preset = (preset | {"gpt2": "gpt2", "gemma3_text": "gemma3-270m"})[family]
    config = PRESETS[preset]
    table = gguf.get_tensor_name_map(gguf_files.ARCHITECTURES[family], config.layers)
    for name in [*tensor_names(config), "lm_head.weight"]:
        assert gguf_name(name, config.family) == table.get_name(name, try_suffixes=(".weight", ".bias"))


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"])
def test_rows_are_dequantised_in_blocks_and_in_the_wanted_order(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(gguf_format, "BLOCK", 1000)  # three rows at once
    per_block, size = gguf.GGML_QUANT_SIZES[Type[kind]]
    rows = np.random.default_rng(0).integers(0, 60, (10, 512 // per_block * size), dtype=np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("a", rows, raw_dtype=Type[kind])
    gguf_files.close(writer)
    tensor = open_gguf(tmp_path / "m.gguf").tensors["a"]
    whole = torch.from_numpy(gguf.quants.dequantize(rows, Type[kind]))
    order = torch.tensor([3, 1, 0, 2, 9, 8, 7, 6, 5, 4])
    assert tensor.shape == (10, 512)
    assert gguf_format._dequantised(tensor, None, torch.float32).equal(whole)
    assert gguf_format._dequantised(tensor, order, torch.bfloat16).equal(whole[order].bfloat16())


QUANTISED = sorted(kind for kind in TYPES if kind.name not in gguf_format.PLAIN)


@pytest.mark.parametrize("kind", QUANTISED, ids=lambda kind: kind.name)
def test_numbers_are_those_of_the_package_to_the_last_bit(kind):
    """Every bit pattern of a block's parts: random bytes, also scales that are infinite or no numbers."""
    per_block, size = gguf.GGML_QUANT_SIZES[kind]
    rows = np.random.default_rng(0).integers(0, 256, (300, 512 // per_block * size), dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected, found = gguf.quants.dequantize(rows, kind), dequantize(rows, kind)
    assert (found.dtype, found.shape) == (np.float32, (300, 512))
    assert np.isnan(found).any() and np.isfinite(found).any()
    np.testing.assert_array_equal(found, expected)
    known = np.isfinite(expected)
    assert (found[known].view(np.uint32) == expected[known].view(np.uint32)).all()  # also the sign of zero


def test_a_frozen_base_keeps_16_bits_and_maps_what_is_stored_so(tmp_path):
    theirs = families.oracle("qwen3", hidden_size=64, intermediate_size=96)
    types = {"ffn_up": Type.F16, "ffn_down": Type.Q8_0, "attn_v": Type.BF16}
    gguf_files.save_model(theirs, tmp_path / "m.gguf", lambda name, _: types.get(name.split(".")[-2], Type.F32))
    frozen, exact = (read_decoder(tmp_path / "m.gguf", dtype=dtype) for dtype in (None, torch.float32))
    feed_forward, attention = frozen.blocks[0].feed_forward, frozen.blocks[0].attention
    assert feed_forward.up.weight.dtype == torch.float16
    assert attention.v.weight.dtype == feed_forward.down.weight.dtype == torch.bfloat16
    assert feed_forward.gate.weight.dtype == frozen.norm.weight.dtype == torch.float32
    assert not feed_forward.up.weight.requires_grad
    mapped = open_gguf(tmp_path / "m.gguf").tensors["blk.0.ffn_up.weight"].rows
    assert feed_forward.up.weight.data_ptr() == mapped.ctypes.data
    with torch.no_grad():
        assert (frozen(IDS) - exact(IDS)).abs().max() < 0.05 * exact(IDS).std()  # what bf16 rounds off


def test_a_decoder_that_learns_leaves_the_file_as_it_is(tmp_path):
    gguf_files.save_model(families.oracle("qwen2"), tmp_path / "m.gguf")
    before = (tmp_path / "m.gguf").read_bytes()
    with torch.no_grad():
        for parameter in read_decoder(tmp_path / "m.gguf").parameters():
            parameter.add_(1)
    assert (tmp_path / "m.gguf").read_bytes() == before


def split(path, folder):
    """The same model in three shards."""
    whole, names = gguf.GGUFReader(path), []
    for number in range(3):
        names.append(folder / f"m-{number + 1:05}-of-00003.gguf")
        writer = gguf.GGUFWriter(names[-1], "qwen2")
        if number == 0:
            for key, field in whole.fields.items():
                if not key.startswith(("GGUF.", "general.architecture")):
                    writer.add_key_value(key, field.contents(), field.types[0])
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 3)
        writer.add_int32("split.tensors.count", len(whole.tensors))
        for tensor in whole.tensors[number::3]:
            writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
        gguf_files.close(writer)
    return names


def test_shards_are_one_model(tmp_path):
    gguf_files.save_model(families.oracle("qwen2"), tmp_path / "m.gguf")
    names = split(tmp_path / "m.gguf", tmp_path)
    names[2].rename(tmp_path / "elsewhere.gguf")
    with pytest.raises(LiuliError, match=r"the shard m-00003-of-00003\.gguf is missing"):
        read_config(names[0])
    (tmp_path / "elsewhere.gguf").rename(names[2])
    with torch.no_grad():
        assert read_decoder(names[0])(IDS).equal(read_decoder(tmp_path / "m.gguf")(IDS))
    assert hash_model(names[0]) == hash_model(tmp_path / "m.gguf")
    with pytest.raises(LiuliError, match=r"is one of 3 shards: give the first, m-00001-of-00003\.gguf"):
        read_config(names[1])


def test_the_hash_is_of_the_tensors(tmp_path):
    theirs = families.oracle("qwen2")
    gguf_files.save_model(theirs, tmp_path / "a.gguf")
    gguf_files.save_model(theirs, tmp_path / "b.gguf", more=lambda writer: writer.add_name("another name"))
    gguf_files.save_model(families.oracle("qwen2", hidden_size=64), tmp_path / "c.gguf")
    first, second, third = (hash_model(tmp_path / f"{name}.gguf") for name in "abc")
    assert first == second != third


SETTINGS = {
    "an architecture": (lambda w: None, {"arch": "mamba"}, "the architecture 'mamba' is not supported; supported: llama"),
    "a setting": (lambda w: w.add_expert_count(8), {}, "qwen2.expert_count = 8 is not supported"),
    "a head width": (lambda w: w.add_value_length(4), {}, "qwen2.attention.value_length = 4 differs from the head width 8"),
    "a kind": (lambda w: w.add_type("adapter"), {}, r"is not a model \(general.type is adapter\)"),
    "longrope": (
        lambda w: (w.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE), w.add_rope_scaling_factor(2.0)),
        {},
        "the rotary scaling 'longrope' is not supported",
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_what_is_not_followed_is_refused_by_name(case, tmp_path):
    more, how, message = SETTINGS[case]
    gguf_files.save_model(families.oracle("qwen2"), tmp_path / "m.gguf", more=more)
    if "arch" in how:
        data = (tmp_path / "m.gguf").read_bytes()
        (tmp_path / "m.gguf").write_bytes(data.replace(b"\x05\0\0\0\0\0\0\0qwen2", b"\x05\0\0\0\0\0\0\0mamba", 1))
    with pytest.raises(LiuliError, match=message):
        read_config(tmp_path / "m.gguf")


def test_tensors_are_compared_with_the_metadata(tmp_path):
    theirs = families.oracle("qwen2")
    all_tensors = gguf_files.tensors_of(theirs)

    def write(tensors):
        writer = gguf.GGUFWriter(tmp_path / "m.gguf", "qwen2")
        gguf_files._settings(writer, theirs.config)
        for name, array in tensors.items():
            writer.add_tensor(name, array)
        gguf_files.close(writer)

    write({name: array for name, array in all_tensors.items() if name != "blk.1.attn_k.bias"})
    with pytest.raises(LiuliError, match=r"the tensors blk\.1\.attn_k\.bias are missing"):
        read_decoder(tmp_path / "m.gguf")
    write(all_tensors | {"blk.0.attn_sinks.weight": np.zeros(4, np.float32)})
    with pytest.raises(LiuliError, match=r"model does not have: blk\.0\.attn_sinks\.weight"):
        read_decoder(tmp_path / "m.gguf")
    write(all_tensors | {"blk.0.attn_k.bias": np.zeros(8, np.float32)})
    with pytest.raises(LiuliError, match=r"blk\.0\.attn_k\.bias has shape \[8\], but the metadata implies \[16\]"):
        read_decoder(tmp_path / "m.gguf")
    write(all_tensors | {"blk.0.attn_k.bias": np.full(16, np.nan, np.float32)})
    with pytest.raises(LiuliError, match=r"16 of the 16 values of the tensor blk\.0\.attn_k\.bias are NaN"):
        read_decoder(tmp_path / "m.gguf")


def test_a_model_is_a_folder_or_a_file(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert find_model(tmp_path / "m.gguf") == tmp_path / "m.gguf"
    (tmp_path / "folder.gguf").mkdir()
    assert find_model(tmp_path / "folder.gguf") == tmp_path / "folder.gguf"
    with pytest.raises(LiuliError, match=r"there is no folder .*none\.gguf"):
        find_model(tmp_path / "none.gguf")


REAL = {  # of `transformers` in fp32 (../shared/data/models/README.md)
    "qwen2.5-coder-0.5b": (
        "The largest city in the United States is",
        {" New": 0.3384, " Washington": 0.0642, " Chicago": 0.0593, " Boston": 0.0439, " Los": 0.0306},
    ),
    "gemma3-270m": ("我今天想去游乐园玩", {"，": 0.417, "的时候": 0.086}),
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_model_has_the_known_candidates(name, data):
    prompt, candidates = REAL[name]
    path = real_model(data, name)
    tokenizer, decoder = open_tokenizer(path), read_decoder(path)
    with torch.no_grad():
        hidden = decoder.hidden(torch.tensor([tokenizer.encode(prompt, prompt=True)]))
        best = decoder.logits(hidden[0, -1]).softmax(-1).topk(len(candidates))
    found = dict(zip([tokenizer.token(i).text for i in best.indices.tolist()], best.values.tolist(), strict=True))
    assert found == pytest.approx(candidates, abs=6e-4)
