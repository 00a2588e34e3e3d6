"""Adapters as they are found in the wild, made and computed by PEFT, the oracle: patterns, √rank, some of the layers, regular
expressions, GPT-2's fused projection, whole tables, old files; and what is refused, by its name."""

import copy
import json
from pathlib import Path

import peft
import pytest
import torch
from helpers.changes import change_adapter_config, change_adapter_weights
from helpers.families import VOCABULARY
from safetensors.torch import load_file

from liuli.errors import LiuliError
from liuli.model.adapters import lora, peft_folder
from liuli.model.adapters.lora import LoRASettings
from liuli.model.adapters.own_table import OwnTable
from liuli.model.formats.detect import hash_model, read_decoder
from liuli.model.formats.hugging_face import write_decoder

ids_BT = torch.randint(0, VOCABULARY, (2, 40), generator=torch.Generator().manual_seed(1))
LLAMA = ["q_proj", "k_proj", "down_proj"]


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        found = model(ids_BT)
    return found if isinstance(found, torch.Tensor) else found.logits


def peft_model(pair, folder: Path, seed: int = 5, **settings) -> torch.Tensor:
    """Saves a random adapter of PEFT's to the folder. Returns its logits in fp64."""
    settings = {"r": 3, "lora_alpha": 5, "task_type": "CAUSAL_LM", "target_modules": LLAMA} | settings
    torch.manual_seed(seed)
    theirs = peft.get_peft_model(copy.deepcopy(pair.theirs).double(), peft.LoraConfig(**settings)).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                parameter.normal_(0, 0.3)
            if parameter.requires_grad:
                parameter.copy_(parameter.float())  # an adapter is in fp32: nothing is rounded when it is read
    expected = logits(theirs)
    theirs.save_pretrained(folder)
    return expected


def limit(pair) -> float:
    """In standard deviations, in fp64. An adapter computes in fp32. Rotary angles are in fp32 here and in `transformers`, and
    differ in their last bits: the bases alone are up to 6e-6 apart, which adapters with large random numbers make more of."""
    return 2e-6 if pair.name == "gpt2" else 5e-5


def opened(pair, folder: Path, dtype: torch.dtype = torch.float64):
    ours = read_decoder(pair.folder, dtype=dtype)
    peft_folder.load(ours, folder, "theirs", pair.folder)
    return ours


def expect(pair, folder: Path, tmp_path: Path, expected: torch.Tensor) -> None:
    """The folder's logits here are as expected; and so are those of what is saved again, in PEFT and here, and of what is
    merged."""
    ours = opened(pair, folder)
    assert (logits(ours) - expected).abs().max() < limit(pair) * expected.std()
    lora.use(ours, None)
    assert (logits(ours) - expected).std() > 0.1 * expected.std()
    lora.use(ours, "theirs")
    again = tmp_path / "again"
    peft_folder.save(ours, again, str(pair.folder), hash_model(pair.folder))
    assert torch.equal(logits(opened(pair, again)), logits(ours))
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(pair.theirs).double(), again).eval()
    assert (logits(theirs) - expected).abs().max() < limit(pair) * expected.std()
    lora.merge(ours)
    assert (logits(ours) - expected).abs().max() < limit(pair) * expected.std()
    write_decoder(ours, tmp_path / "merged", torch.float64)
    assert (logits(read_decoder(tmp_path / "merged", dtype=torch.float64)) - expected).abs().max() < limit(
        pair
    ) * expected.std()


SETTINGS = {
    "ranks and alphas": {"rank_pattern": {"q_proj": 8, "layers.1.mlp.down_proj": 2}, "alpha_pattern": {"k_proj": 64}},
    "patterns that overlap": {"rank_pattern": {r".*\.0\.self.*": 2, "q_proj": 6}, "alpha_pattern": {"^model.layers.2.*": 1}},
    "alternatives": {"rank_pattern": {r"layers\.(0|2)\..*(q|k)_proj": 7}, "alpha_pattern": {r"(q|down)_proj": 2.5}},
    "rank-stabilised": {"use_rslora": True, "rank_pattern": {"q_proj": 8}, "r": 5},
    "one layer": {"layers_to_transform": 1},
    "two layers": {"layers_to_transform": [0, 2], "layers_pattern": "layers"},
    "layers with a pattern": {"layers_to_transform": [2], "layers_pattern": ["blocks", "layers"]},
    "a regular expression": {"target_modules": r".*layers\.[12]\.(self_attn\.(q|v)_proj|mlp\.up_proj)"},
    "all linear": {"target_modules": "all-linear"},
    "all linear but some": {"target_modules": "all-linear", "exclude_modules": ["v_proj", "model.layers.1.mlp.up_proj"]},
    "excluded by expression": {"exclude_modules": r".*layers\.0\..*"},
    "whole names": {"target_modules": ["model.layers.1.self_attn.q_proj", "layers.2.mlp.gate_proj"]},
    "a head": {"modules_to_save": ["lm_head"]},
    "an embedding": {"modules_to_save": ["embed_tokens"]},
    "both": {"modules_to_save": ["embed_tokens", "lm_head"], "use_rslora": True},
}  # fmt: skip


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "gemma3"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_what_peft_saves_is_opened_saved_and_merged(pair_of, tmp_path, family, settings):
    """The heads of the random Qwen 3 and Gemma 3 are tied, that of the random Qwen 2 is not."""
    pair = pair_of(family)
    expect(pair, tmp_path / "theirs", tmp_path, peft_model(pair, tmp_path / "theirs", **settings))


@pytest.mark.parametrize("saved", [["embed_tokens"], ["lm_head"]])
def test_tables_that_stay_tied(pair_of, tmp_path, saved):
    pair = pair_of("qwen3")
    expected = peft_model(pair, tmp_path / "theirs", modules_to_save=saved, ensure_weight_tying=True)
    expect(pair, tmp_path / "theirs", tmp_path, expected)
    ours = opened(pair, tmp_path / "theirs")
    lora.merge(ours)
    assert ours.config.tied
    assert ours.head.weight is ours.embedding.weight


@pytest.mark.parametrize("targets", [["c_attn"], ["c_attn", "c_fc", "c_proj"], "all-linear"], ids=str)
def test_gpt2s_fused_projection(pair_of, tmp_path, targets):
    pair = pair_of("gpt2")
    expected = peft_model(pair, tmp_path / "theirs", target_modules=targets, fan_in_fan_out=True)
    expect(pair, tmp_path / "theirs", tmp_path, expected)


def test_gpt2s_q_k_and_v_share_one_a_and_learn(pair_of):
    decoder = read_decoder(pair_of("gpt2").folder)
    lora.add(decoder, LoRASettings(rank=4, projections=("q", "k", "v")), 0)
    slots = lora.adapted(decoder)
    assert len(slots) == 9
    parts = [slots[f"blocks.0.attention.{name}"].active for name in "qkv"]
    assert parts[0].a is parts[1].a is parts[2].a
    assert len([parameter for parameter in decoder.parameters() if parameter.requires_grad]) == 3 * 4
    for part in parts:
        part.b.data.normal_()
    decoder(ids_BT).log_softmax(-1)[..., 5].sum().backward()
    assert all(part.b.grad.abs().sum() > 0 for part in parts)
    assert parts[0].a.grad.abs().sum() > 0


def test_an_adapter_goes_on_learning_with_its_settings(pair_of, tmp_path):
    pair = pair_of("qwen3")
    peft_model(pair, tmp_path, modules_to_save=["lm_head"], rank_pattern={"q_proj": 8}, use_rslora=True)
    ours = opened(pair, tmp_path, torch.float32)
    lora.learn(ours, "theirs")
    ours(ids_BT).log_softmax(-1)[..., 5].sum().backward()
    learning = [parameter for parameter in ours.parameters() if parameter.requires_grad]
    assert len(learning) == 2 * 3 * 3 + 1
    assert all(parameter.grad is not None for parameter in learning)
    assert isinstance(ours.get_submodule("head").active, OwnTable)


# Files.


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before PyTorch 1.6"])
def test_an_adapter_in_a_bin(pair_of, tmp_path, old):
    pair = pair_of("qwen3")
    expected = peft_model(pair, tmp_path / "theirs")
    before = peft_folder.hash_adapter(tmp_path / "theirs")
    tensors = load_file(tmp_path / "theirs" / peft_folder.TENSORS)
    (tmp_path / "theirs" / peft_folder.TENSORS).unlink()
    torch.save(tensors, tmp_path / "theirs" / "adapter_model.bin", _use_new_zipfile_serialization=not old)
    expect(pair, tmp_path / "theirs", tmp_path, expected)
    assert peft_folder.hash_adapter(tmp_path / "theirs") == before


class Touch:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_bin_that_holds_code_is_never_run(pair_of, tmp_path):
    pair = pair_of("qwen3")
    peft_model(pair, tmp_path)
    (tmp_path / peft_folder.TENSORS).unlink()
    torch.save({"x": Touch(tmp_path / "made")}, tmp_path / "adapter_model.bin")
    with pytest.raises(LiuliError, match=r"adapter_model.bin is refused: it contains Python objects"):
        opened(pair, tmp_path)
    assert not (tmp_path / "made").exists()


RENAMED = {
    "default": lambda name: name.replace(".weight", ".default.weight"),
    "another name": lambda name: name.replace(".weight", ".my-adapter_2.weight"),
    "compiled": lambda name: name.replace("base_model.model.", "base_model.model._orig_mod."),
    "parallel": lambda name: "module." + name,
    "bare": lambda name: name.removeprefix("base_model.model."),
}


@pytest.mark.parametrize("rename", RENAMED.values(), ids=RENAMED)
def test_names_of_tensors(pair_of, tmp_path, rename):
    pair = pair_of("qwen3")
    expected = peft_model(pair, tmp_path)
    before = peft_folder.hash_adapter(tmp_path)
    change_adapter_weights(tmp_path, lambda tensors: {rename(name): tensor for name, tensor in tensors.items()})
    assert (logits(opened(pair, tmp_path)) - expected).abs().max() < limit(pair) * expected.std()
    assert peft_folder.hash_adapter(tmp_path) == before


def test_names_of_saved_modules_and_rows(pair_of, tmp_path):
    pair = pair_of("qwen2")
    expected = peft_model(pair, tmp_path, modules_to_save=["lm_head"], trainable_token_indices=[3, 5])

    def whole_names(tensors):
        found = {name.replace("lm_head.weight", "lm_head.modules_to_save.default.weight"): t for name, t in tensors.items()}
        return {name.replace("tokens_delta", "tokens_delta.default"): t for name, t in found.items()}

    change_adapter_weights(tmp_path, whole_names)
    assert (logits(opened(pair, tmp_path)) - expected).abs().max() < limit(pair) * expected.std()


def test_two_adapters_in_one_file(pair_of, tmp_path):
    pair = pair_of("qwen3")
    peft_model(pair, tmp_path)
    change_adapter_weights(
        tmp_path, lambda tensors: tensors | {n.replace(".weight", ".b.weight"): t for n, t in tensors.items()}
    )
    with pytest.raises(LiuliError, match=r"adapter_model.safetensors contains .* twice: save each adapter in its own file"):
        opened(pair, tmp_path)


def test_the_hash_knows_what_changes_the_numbers(pair_of, tmp_path):
    peft_model(pair_of("qwen3"), tmp_path)
    first = peft_folder.hash_adapter(tmp_path)
    hashes = {first}
    for changes in ({"alpha_pattern": {"q_proj": 3}}, {"alpha_pattern": {"q_proj": 4}}, {"use_rslora": True}):
        change_adapter_config(tmp_path, **changes)
        hashes.add(peft_folder.hash_adapter(tmp_path))
    assert len(hashes) == 4
    change_adapter_config(tmp_path, alpha_pattern={}, use_rslora=False, exclude_modules=["x"], ensure_weight_tying=True)
    assert peft_folder.hash_adapter(tmp_path) == first


# What is refused, and how.


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"modules_to_save": ["norm"]}, r"modules_to_save = \['norm'\] is not supported: .* but not norm"),
        ({"modules_to_save": ["score", "lm_head"]}, "but not score"),
        ({"modules_to_save": ["lm_head"]}, "the tensors base_model.model.lm_head.weight are missing"),
        ({"target_modules": ["q_proj"]}, r"contains .*layers.0.mlp.down_proj.* which adapter_config.json does not name"),
        ({"layers_to_transform": [0]}, r"contains .*layers.1.* which adapter_config.json does not name"),
        ({"exclude_modules": ["k_proj"]}, r"contains .*k_proj.* which adapter_config.json does not name"),
        ({"target_modules": [*LLAMA, "v_proj"]}, r"is not an adapter of .*: the tensors .*v_proj.* are missing"),
        ({"rank_pattern": {"q_proj": 4}}, r"q_proj.lora_A.weight has shape \[3, 32\], but .* imply \[4, 32\]"),
        ({"rank_pattern": {"q_proj": "4"}}, "adapter_config.json: LoRA's rank must be a whole number above 0, not '4'"),
        ({"rank_pattern": {"q_proj": 10**9}}, "LoRA's rank must be at most"),
        ({"alpha_pattern": {"q_proj": None}}, None),
        ({"alpha_pattern": {"q_proj": 0}}, "LoRA's alpha must be a number above 0"),
        ({"alpha_pattern": {"(.*)+x": 1}}, r"the pattern '\(\.\*\)\+x' could take very long"),
        ({"alpha_pattern": {".*a.*a.*a.*a": 1}}, "could take very long"),
        ({"alpha_pattern": {10 * "(.|.)" + "x": 1}}, "could take very long"),
        ({"alpha_pattern": {30 * ".?" + "x": 1}}, "could take very long"),
        ({"alpha_pattern": {"|".join(map(str, range(99))): 1}}, "could take very long"),
        ({"alpha_pattern": {f"{i}|x": 1 for i in range(33)}}, "alpha_pattern must be an object with at most 10,000 names"),
        ({"alpha_pattern": {"(": 1}}, r"'\(' is not a regular expression"),
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_do_not_fit(pair_of, tmp_path, changes, said):
    pair = pair_of("qwen3")
    peft_model(pair, tmp_path)
    change_adapter_config(tmp_path, **changes)
    if said is None:
        opened(pair, tmp_path)
        return
    with pytest.raises(LiuliError, match=said):
        opened(pair, tmp_path)


def test_a_table_of_a_larger_vocabulary(pair_of, tmp_path):
    pair = pair_of("qwen3")
    peft_model(pair, tmp_path)
    change_adapter_weights(
        tmp_path, lambda tensors: tensors | {"base_model.model.model.embed_tokens.weight": torch.ones(105, 32)}
    )
    with pytest.raises(
        LiuliError, match=r"whole embedding or head \(.*embed_tokens.weight\) that .* does not name in modules_to_save"
    ):
        opened(pair, tmp_path)


def test_dora_is_called_by_its_name(pair_of, tmp_path):
    pair = pair_of("qwen3")
    peft_model(pair, tmp_path, use_dora=True)
    with pytest.raises(LiuliError) as error:
        opened(pair, tmp_path)
    expected = "use_dora = True is not supported; use an adapter without this setting"
    assert str(error.value) == f"{tmp_path / peft_folder.CONFIG}: {expected}"


@pytest.mark.parametrize("kind", ["IA3", "LOHA", "PROMPT_TUNING"])
def test_other_kinds_are_called_by_their_names(pair_of, tmp_path, kind):
    (tmp_path / peft_folder.CONFIG).write_text(json.dumps({"peft_type": kind, "target_modules": ["q_proj"]}))
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(LiuliError, match=rf"peft_type = '{kind}' is not supported"):
        opened(pair_of("qwen3"), tmp_path)


def test_folders_that_are_not_whole(pair_of, tmp_path):
    pair = pair_of("qwen3")
    peft_model(pair, tmp_path)
    (tmp_path / peft_folder.CONFIG).rename(tmp_path / "config")
    with pytest.raises(LiuliError, match=r"contains adapter_model.safetensors but no adapter_config.json: download that file"):
        opened(pair, tmp_path)
    (tmp_path / "config").rename(tmp_path / peft_folder.CONFIG)
    pointer = "version https://git-lfs.github.com/spec/v1\nsize 1\n"
    (tmp_path / peft_folder.TENSORS).write_text(pointer)
    with pytest.raises(LiuliError, match=r"adapter_model.safetensors is a Git LFS pointer, not the file itself"):
        opened(pair, tmp_path)
    (tmp_path / peft_folder.TENSORS).unlink()
    with pytest.raises(
        LiuliError, match=r"but neither adapter_model.safetensors nor adapter_model.bin: download the adapter again"
    ):
        opened(pair, tmp_path)
