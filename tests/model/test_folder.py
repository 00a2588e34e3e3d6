"""Folders in Hugging Face's format: what real checkpoints hold, what is written, and everything that can be wrong."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from helpers import families
from helpers.bomb import Bomb
from helpers.changes import change_config, change_weights
from safetensors.torch import load_file

from liuli.errors import LiuliError
from liuli.model.formats.detect import hash_model, read_config, read_decoder
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
def gpt2(tmp_path) -> Path:
    families.save("gpt2", tmp_path)
    return tmp_path


def test_transformers_opens_what_is_written(pair, tmp_path):
    write_decoder(pair.ours, tmp_path)
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert (theirs(ids_1T).logits - pair.theirs(ids_1T).logits).abs().max() < 1e-5 * pair.deviation
    assert read_config(tmp_path) == pair.ours.config
    assert hash_model(tmp_path) == hash_model(pair.folder)


def test_shards_bin_and_one_file_are_the_same_model(pair, tmp_path):
    write_decoder(pair.ours, tmp_path / "shards", shard_bytes=10_000)
    assert len(list((tmp_path / "shards").glob("model-*-of-*.safetensors"))) > 2
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "shards")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "config.json").write_bytes((pair.folder / "config.json").read_bytes())
    torch.save(pair.theirs.state_dict(), tmp_path / "bin" / "pytorch_model.bin")
    for kind in ("shards", "bin"):
        assert torch.equal(read_decoder(tmp_path / kind)(ids_1T), pair.ours(ids_1T))
        assert hash_model(tmp_path / kind) == hash_model(pair.folder)


def test_sharded_bin(llama):
    tensors = load_file(llama / "model.safetensors")
    expected = read_decoder(llama)(ids_1T)
    (llama / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {"pytorch_model-1.bin": names[::2], "pytorch_model-2.bin": names[1::2]}
    for file, held in files.items():
        torch.save({name: tensors[name] for name in held}, llama / file)
    index = {"weight_map": {name: file for file, held in files.items() for name in held}}
    (llama / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert torch.equal(read_decoder(llama)(ids_1T), expected)


@pytest.mark.parametrize("prefix", [True, False])
def test_gpt2s_buffers_and_prefix_are_known(gpt2, prefix):
    expected = read_decoder(gpt2)(ids_1T)

    def as_published(tensors):
        tensors |= {f"transformer.h.{i}.attn.bias": torch.ones(1, 1, 64, 64) for i in range(3)}
        tensors |= {f"transformer.h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(3)}
        return tensors if prefix else {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}

    before = hash_model(gpt2)
    change_weights(gpt2, as_published)
    assert torch.equal(read_decoder(gpt2)(ids_1T), expected)
    assert hash_model(gpt2) == before


def test_llamas_buffers_and_tied_copy_are_known(tmp_path):
    families.save("llama3", tmp_path)
    expected = read_decoder(tmp_path)(ids_1T)
    frequencies = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(4) for i in range(3)}
    change_weights(tmp_path, lambda tensors: tensors | frequencies | {"lm_head.weight": tensors["model.embed_tokens.weight"]})
    assert torch.equal(read_decoder(tmp_path)(ids_1T), expected)
    assert read_decoder(tmp_path).config.tied


def test_old_and_new_spellings_of_rotary_settings_agree(tmp_path):
    families.save("qwen3-yarn", tmp_path)
    new = read_config(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    given = raw.pop("rope_parameters")
    raw["rope_theta"] = given.pop("rope_theta")
    given["type"] = given.pop("rope_type")
    (tmp_path / "config.json").write_text(json.dumps(raw | {"rope_scaling": given}))
    assert read_config(tmp_path) == new


def test_a_tied_head_is_the_embedding(pair_of):
    tied = pair_of("qwen3").ours
    assert tied.head.weight is tied.embedding.weight
    assert sum(1 for _ in tied.parameters()) == len({id(p) for p in tied.parameters()})


def test_weights_are_mapped_not_copied(tmp_path):
    """A 160 MB model adds hardly any memory of the process's own, for either kind of file and for split matrices."""
    script = """
import sys
from pathlib import Path
import torch
from liuli.model.formats.detect import read_decoder
def own():  # kB that no file backs
    return int(next(l for l in open("/proc/self/status") if l.startswith("RssAnon")).split()[1])
folder = Path(sys.argv[1])
torch.zeros(1) + 1
before = own()
decoder = read_decoder(folder)
held = sum(p.nbytes for p in decoder.parameters())
print(held // 1024, own() - before)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc to measure memory")
    config = transformers.GPT2Config(vocab_size=20_000, n_positions=64, n_embd=1024, n_layer=2, n_head=8)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    for kind in ("safetensors", "bin"):
        if kind == "bin":
            (tmp_path / "model.safetensors").unlink()
            torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
        out = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
        held, own = map(int, out.stdout.split())
        assert held > 150_000
        assert own < 0.1 * held, kind


def test_nothing_half_written_has_its_final_name(pair_of, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("liuli.model.formats.hugging_face.save_file", fails)
    with pytest.raises(LiuliError, match=r"cannot be written to .*disk full"):
        write_decoder(pair_of("llama2").ours, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_no_permission_to_write(pair_of, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LiuliError, match="cannot be written to"):
        write_decoder(pair_of("llama2").ours, tmp_path / "file" / "folder")


# Bad input: each with what the message must name.


def test_missing_config(llama):
    (llama / "config.json").unlink()
    with pytest.raises(LiuliError, match=r"contains no config.json"):
        read_decoder(llama)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not valid JSON"), ("[]", "a JSON object"), ("{}", "None is not supported")]
)
def test_broken_config(llama, content, message):
    (llama / "config.json").write_text(content)
    with pytest.raises(LiuliError, match=rf"config.json.*{message}"):
        read_decoder(llama)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "bert"}, "'bert' is not supported; supported: gpt2, llama, mistral, qwen2, qwen3, gemma3_text"),
        (
            {"rope_parameters": {"rope_type": "longrope", "factor": 2}},
            "'longrope' is not supported; supported: default, linear",
        ),
        ({"hidden_act": "tanh"}, "activation 'tanh' is not supported"),
        ({"hidden_size": None}, "hidden_size must be a whole number above 0, not None"),
        ({"num_hidden_layers": "3"}, "num_hidden_layers must be a whole number"),
        ({"num_key_value_heads": 3}, "attention heads, 4, must be a multiple of .* heads, 3"),
        ({"quantization_config": {"bits": 4}}, "quantization_config = .* is not supported"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5 is not supported"),
    ],
)
def test_config_that_cannot_be_followed(llama, change, message):
    change_config(llama, **change)
    with pytest.raises(LiuliError, match=rf"config.json.*{message}"):
        read_decoder(llama)


def test_config_without_a_field(llama):
    raw = json.loads((llama / "config.json").read_text())
    del raw["intermediate_size"]
    (llama / "config.json").write_text(json.dumps(raw))
    with pytest.raises(LiuliError, match='"intermediate_size" is missing'):
        read_decoder(llama)


def test_no_weights(llama):
    (llama / "model.safetensors").unlink()
    with pytest.raises(LiuliError, match=r"contains no weights \(model.safetensors"):
        read_decoder(llama)


@pytest.mark.parametrize("size", [0, 5, 1000, -100])
def test_truncated_safetensors(llama, size):
    path = llama / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(LiuliError, match=r"model.safetensors is broken or truncated"):
        read_decoder(llama)


def test_missing_and_unknown_tensors_are_named(llama):
    change_weights(llama, lambda tensors: {n: t for n, t in tensors.items() if "layers.1.mlp.up" not in n})
    with pytest.raises(LiuliError, match=r"the tensors model.layers.1.mlp.up_proj.weight are missing"):
        read_decoder(llama)


def test_unknown_tensors_are_named(llama):
    change_weights(llama, lambda tensors: tensors | {"score.weight": torch.ones(2)})
    with pytest.raises(LiuliError, match=r"that a \w+ model does not have: model.score.weight"):
        read_decoder(llama)


def test_missing_shard(pair_of, tmp_path):
    write_decoder(pair_of("llama2").ours, tmp_path, shard_bytes=10_000)
    sorted(tmp_path.glob("model-*.safetensors"))[1].unlink()
    with pytest.raises(LiuliError, match=r"the shard model-00002-of-\d+.safetensors .* is missing"):
        read_decoder(tmp_path)


def test_shape_mismatch(gpt2):
    change_weights(gpt2, lambda tensors: tensors | {"transformer.h.0.attn.c_attn.weight": torch.ones(32, 90)})
    with pytest.raises(LiuliError, match=r"h.0.attn.c_attn.weight has shape \[32, 90\], but config.json implies \[32, 96\]"):
        read_decoder(gpt2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(llama, bad):
    def spoil(tensors):
        tensors["model.layers.2.mlp.down_proj.weight"][0, 3] = bad
        return tensors

    change_weights(llama, spoil)
    with pytest.raises(
        LiuliError, match=r"1 of the 1536 values of the tensor model.layers.2.mlp.down_proj.weight are NaN or infinite"
    ):
        read_decoder(llama)


def test_quantised_weights(llama):
    change_weights(llama, lambda tensors: tensors | {"model.norm.weight": torch.ones(32, dtype=torch.int8)})
    with pytest.raises(LiuliError, match=r"model.norm.weight is torch.int8: quantised weights"):
        read_decoder(llama)


@pytest.mark.parametrize("kind", ["torch.save", "pickle"])
def test_a_bin_that_holds_code_is_refused_and_never_run(llama, tmp_path, kind):
    (llama / "model.safetensors").unlink()
    content = {"model.norm.weight": torch.ones(32), "bomb": Bomb(tmp_path / "exploded")}
    path = llama / "pytorch_model.bin"
    torch.save(content, path) if kind == "torch.save" else path.write_bytes(pickle.dumps(content))
    with pytest.raises(LiuliError, match=r"pytorch_model.bin is (refused|broken)"):
        read_decoder(llama)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("weight_map", [None, [], {"a": 3}])
def test_broken_index(llama, weight_map):
    (llama / "model.safetensors").unlink()
    (llama / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(LiuliError, match=r"index.json is broken: its weight_map must name"):
        read_decoder(llama)


def test_writing_again_leaves_no_older_weights(pair_of, tmp_path):
    pair = pair_of("llama2")
    write_decoder(pair.ours, tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    changed = read_decoder(pair.folder)
    changed.norm.weight.mul_(2)
    write_decoder(changed, tmp_path, shard_bytes=10_000)
    assert torch.equal(read_decoder(tmp_path)(ids_1T), changed(ids_1T))
    assert not (tmp_path / "model.safetensors").exists()
    assert not (tmp_path / "pytorch_model.bin").exists()
    write_decoder(pair.ours, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


FOREIGN = (
    "model_card.safetensors", "model.safetensors.bak", "model-old.safetensors", "model-1-of-2.safetensors", "my.bin",
    "pytorch_model.bin.txt", "pytorch_model_old.bin", "adapter_model.safetensors", "optimizer.bin", "modelling.safetensors",
)  # fmt: skip
STALE = (
    "pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin", "model-00001-of-00099.safetensors",
    "model.safetensors.index.json",
)  # fmt: skip


def test_writing_removes_older_weights_and_no_other_file(pair_of, tmp_path):
    for name in FOREIGN + STALE:
        (tmp_path / name).write_text(name)
    (tmp_path / "model-00001-of-00002.safetensors.d").mkdir()
    write_decoder(pair_of("llama2").ours, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *FOREIGN, "model-00001-of-00002.safetensors.d", "config.json", "model.safetensors"
    }  # fmt: skip
    assert all((tmp_path / name).read_text() == name for name in FOREIGN)
    assert torch.equal(read_decoder(tmp_path)(ids_1T), pair_of("llama2").ours(ids_1T))


def test_activations_are_written_by_their_common_names(pair, tmp_path):
    """Not every reader knows the others: vLLM takes silu and not swish."""
    write_decoder(pair.ours, tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    usual = {"gpt2": ("activation_function", "gelu_new"), "gemma3": ("hidden_activation", "gelu_pytorch_tanh")}
    field, name = usual.get(pair.name.partition("-")[0], ("hidden_act", "silu"))
    assert raw[field] == name


def test_a_tensor_stored_twice(gpt2):
    change_weights(gpt2, lambda tensors: tensors | {"ln_f.weight": tensors["transformer.ln_f.weight"] + 1})
    with pytest.raises(LiuliError, match=r"twice, with and without its prefix"):
        read_decoder(gpt2)


@pytest.mark.parametrize("content", [[1], torch.ones(2), {3: torch.ones(2)}, {"a": 3}], ids=str)
def test_a_bin_that_holds_no_tensors_by_name(llama, content):
    (llama / "model.safetensors").unlink()
    torch.save(content, llama / "pytorch_model.bin")
    with pytest.raises(LiuliError, match=r"must contain a mapping from names to tensors, but .*: if it is a checkpoint"):
        read_decoder(llama)


@pytest.mark.parametrize(
    "given",
    [
        "yarn", 3, [], {"rope_type": "yarn", "factor": 0}, {"rope_type": "linear", "factor": float("inf")},
        {"rope_type": "yarn", "factor": 4, "rope_theta": 1},
        {"rope_type": "llama3", "factor": 8, "low_freq_factor": "1", "high_freq_factor": 4},
    ],
    ids=str,
)  # fmt: skip
def test_rotary_settings_of_odd_types(llama, given):
    change_config(llama, rope_parameters=None, rope_scaling=given)
    if given == []:
        assert read_config(llama).rope_scaling is None
        return
    with pytest.raises(LiuliError, match=r"config.json"):
        read_decoder(llama)


@pytest.mark.parametrize("window", [0, -1, "x", [], True])
def test_windows_that_cannot_be(tmp_path, window):
    families.save("mistral", tmp_path)
    change_config(tmp_path, sliding_window=window)
    with pytest.raises(LiuliError, match=r"config.json: sliding_window must be a whole number from 1 to "):
        read_decoder(tmp_path)
