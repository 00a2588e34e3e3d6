"""Weights as they are found in the wild: old files, names that wrappers changed, tensors stored twice, heads that are not tied
although config.json says so. The oracle is what `transformers` opens."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from helpers import families
from helpers.bomb import Bomb
from helpers.changes import change_config, change_weights
from safetensors.torch import load_file, save_file

from liuli.errors import LiuliError
from liuli.model.formats.detect import hash_model, read_config, read_decoder, stored_config
from liuli.model.formats.hugging_face import write_decoder

ids_1T = torch.arange(40)[None]


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def llama(tmp_path) -> Path:
    families.save("llama2", tmp_path)
    return tmp_path


@pytest.fixture
def tied(tmp_path) -> Path:
    families.save("llama3", tmp_path)
    return tmp_path


def expect_transformers(folder: Path) -> None:
    """What is read computes what `transformers` reads from the same folder."""
    expected = transformers.AutoModelForCausalLM.from_pretrained(folder)(ids_1T).logits
    assert (read_decoder(folder)(ids_1T) - expected).abs().max() < 5e-5 * expected.std()


# Files of before PyTorch 1.6.


def save_old(tensors, path: Path) -> None:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("family", ["gpt2", "llama3"])
def test_a_bin_from_before_pytorch_1_6(tmp_path, family):
    model = families.save(family, tmp_path)
    before = hash_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    save_old(model.state_dict(), tmp_path / "pytorch_model.bin")
    expect_transformers(tmp_path)
    assert read_decoder(tmp_path).config.tied
    assert hash_model(tmp_path) == before


@pytest.mark.parametrize("size", [0, 10, 1000, 30_000, -100])
def test_an_old_bin_that_is_truncated(llama, size):
    path = llama / "pytorch_model.bin"
    save_old(load_file(llama / "model.safetensors"), path)
    (llama / "model.safetensors").unlink()
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(LiuliError, match=r"pytorch_model.bin is (broken, truncated, or was not written by torch.save|refused)"):
        read_decoder(llama)


def test_an_old_bin_that_holds_code_is_refused_and_never_run(llama, tmp_path):
    (llama / "model.safetensors").unlink()
    save_old({"model.norm.weight": torch.ones(32), "other": Bomb(tmp_path / "made")}, llama / "pytorch_model.bin")
    with pytest.raises(LiuliError, match=r"pytorch_model.bin is refused: it contains Python objects"):
        read_decoder(llama)
    assert not (tmp_path / "made").exists()


def test_an_old_bin_that_claims_more_than_it_holds(llama):
    (llama / "model.safetensors").unlink()
    save_old({"model.norm.weight": torch.ones(1).expand(10**12)}, llama / "pytorch_model.bin")
    with pytest.raises(LiuliError, match=r"pytorch_model.bin"):
        read_decoder(llama)


# Names.


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "base_model.model.", "module._orig_mod.", "_orig_mod.module.", "module.base_model.model."],
)
@pytest.mark.parametrize("family", ["gpt2", "llama2", "qwen3"])
def test_prefixes_of_wrappers(tmp_path, family, prefix):
    families.save(family, tmp_path)
    expected, before = read_decoder(tmp_path)(ids_1T), hash_model(tmp_path)
    change_weights(tmp_path, lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()})
    assert torch.equal(read_decoder(tmp_path)(ids_1T), expected)
    assert hash_model(tmp_path) == before


def test_compiled_layers(llama):
    expected = read_decoder(llama)(ids_1T)
    change_weights(
        llama, lambda tensors: {n.replace("self_attn.", "self_attn._orig_mod."): tensor for n, tensor in tensors.items()}
    )
    assert torch.equal(read_decoder(llama)(ids_1T), expected)


def test_an_adapter_that_is_not_merged(llama):
    def as_peft_has_it(tensors):
        found = {f"base_model.model.{name}": tensor for name, tensor in tensors.items()}
        name = "base_model.model.model.layers.0.self_attn.q_proj"
        found[f"{name}.base_layer.weight"] = found.pop(f"{name}.weight")
        return found | {f"{name}.lora_A.default.weight": torch.ones(2, 32), f"{name}.lora_B.default.weight": torch.ones(32, 2)}

    change_weights(llama, as_peft_has_it)
    with pytest.raises(LiuliError, match=r"contain an adapter that is not merged .*layers.0.self_attn.*: merge it with PEFT"):
        read_decoder(llama)


# Shards.


def write_shards(folder: Path, second) -> None:
    """Two shards that both hold the norm; `second` makes the second's from the first's."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {f"model-0000{i + 1}-of-00002.safetensors": {name: tensors[name] for name in names[i::2]} for i in range(2)}
    for held, norm in zip(files.values(), (tensors["model.norm.weight"], second(tensors["model.norm.weight"])), strict=True):
        held["model.norm.weight"] = norm
    for file, held in files.items():
        save_file({name: tensor.clone() for name, tensor in held.items()}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, held in files.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_a_tensor_in_two_shards(llama):
    expected, before = read_decoder(llama)(ids_1T), hash_model(llama)
    write_shards(llama, lambda norm: norm)
    expect_transformers(llama)
    assert torch.equal(read_decoder(llama)(ids_1T), expected)
    assert hash_model(llama) == before


@pytest.mark.parametrize("second", [lambda norm: norm + 1, lambda norm: norm.half(), lambda norm: norm[:3]], ids="vds")
def test_a_tensor_in_two_shards_with_other_numbers(llama, second):
    write_shards(llama, second)
    message = (
        f"{llama}: the shards model-00001-of-00002.safetensors and model-00002-of-00002.safetensors contain different numbers "
        f"for model.norm.weight: they do not belong to the same model; download or save the model again"
    )
    with pytest.raises(LiuliError) as error:
        read_decoder(llama)
    assert str(error.value) == message


# Pointers of Git LFS.


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_pointer_in_place_of_weights(llama, name):
    (llama / "model.safetensors").unlink()
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * "0" + "\nsize 988097824\n"
    (llama / name).write_text(pointer)
    for read in (read_decoder, hash_model):
        with pytest.raises(LiuliError, match=rf"{name} is a Git LFS pointer, not the file itself: run `git lfs pull`"):
            read(llama)


# A head that config.json says is tied.


def test_a_tied_head_with_other_numbers_is_not_tied(tied, tmp_path_factory, caplog):
    """`transformers` warns, and ties nothing."""
    change_weights(tied, lambda tensors: tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].flip(0)})
    expect_transformers(tied)
    decoder = read_decoder(tied)
    differs = "config.json says that head and embedding are tied, but lm_head.weight differs from model.embed_tokens.weight"
    assert caplog.messages == [f"{tied}: {differs}: they are used as two separate matrices"]
    assert read_config(tied).tied
    assert not stored_config(tied).tied
    assert not decoder.config.tied
    again = tmp_path_factory.mktemp("again")
    write_decoder(decoder, again)
    expect_transformers(again)
    assert torch.equal(read_decoder(again)(ids_1T), decoder(ids_1T))
    assert hash_model(again) == hash_model(tied)


@pytest.mark.parametrize("family", ["llama3", "qwen3", "gpt2"])
def test_a_tied_head_stored_in_place_of_the_embedding(tmp_path, family):
    families.save(family, tmp_path)
    before = hash_model(tmp_path)
    table = "transformer.wte.weight" if family == "gpt2" else "model.embed_tokens.weight"
    change_weights(tmp_path, lambda tensors: {"lm_head.weight" if n == table else n: t for n, t in tensors.items()})
    expect_transformers(tmp_path)
    assert read_decoder(tmp_path).config.tied
    assert hash_model(tmp_path) == before


# Rotary settings of two formats in one file.


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_scaling": YARN | {"rope_theta": 500.0}},
        {"rope_scaling": YARN, "rope_theta": 300.0},
        {"rope_scaling": YARN, "rope_parameters": {"rope_type": "default"}},
        {"rope_scaling": {"type": "linear", "factor": 2.0, "rope_theta": 500.0}},
        {"rope_scaling": {}},
        {"rope_scaling": None},
    ],
    ids=str,
)
def test_rope_scaling_next_to_rope_parameters(llama, changes):
    change_config(llama, **changes)
    expect_transformers(llama)


BY_LAYER = {"full_attention": {"rope_type": "default", "rope_theta": 2e4}, "sliding_attention": {"rope_theta": 300.0}}


@pytest.mark.parametrize("scaling", [{"rope_type": "linear", "factor": 4.0}, YARN, YARN | {"rope_theta": 500.0}, {}], ids=str)
@pytest.mark.parametrize("changes", [{}, {"rope_parameters": BY_LAYER}, {"rope_theta": 900.0}], ids=str)
def test_rope_scaling_next_to_rope_parameters_of_gemma(tmp_path, scaling, changes):
    """It scales the layers with full attention, and leaves their base and the other layers as they are."""
    families.save("gemma3", tmp_path)
    before = read_decoder(tmp_path)(ids_1T)
    change_config(tmp_path, rope_scaling=scaling, **changes)
    expect_transformers(tmp_path)
    if scaling or "rope_parameters" in changes:
        assert (read_decoder(tmp_path)(ids_1T) - before).abs().max() > 0.01 * before.std()


def test_rope_scaling_that_would_lose_theta(llama):
    """`transformers` falls back to 10,000, which is no model that anybody trained."""
    change_config(llama, rope_scaling=YARN)
    with pytest.raises(LiuliError, match=r"config.json: rope_scaling .* rope_theta 500.0 would be lost: move the fields"):
        read_decoder(llama)
