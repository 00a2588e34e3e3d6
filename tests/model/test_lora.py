"""LoRA against PEFT, both ways, and against its formula; adapters side by side, merged, and refused."""

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
from liuli.learn.prepare.model import multiply_in
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.rates import Rates
from liuli.model.adapters import lora, peft_folder
from liuli.model.adapters.lora import PROJECTIONS, LoRALinear, LoRASettings
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import hash_model, read_decoder
from liuli.model.linear import Linear, MixedLinear

FAMILIES = ("gpt2", "llama3", "llama-biases", "mistral", "qwen2", "qwen3", "gemma3")
SETTINGS = LoRASettings(rank=4, alpha=12)
ids_BT = torch.randint(0, VOCABULARY, (2, 40), generator=torch.Generator().manual_seed(1))


def with_random_adapter(decoder: Decoder, settings: LoRASettings = SETTINGS, seed: int = 0, name: str = "default") -> Decoder:
    """An adapter that learns and whose B is as if it had learned: it changes the logits by about their deviation."""
    lora.add(decoder, settings, seed, name)
    random = torch.Generator().manual_seed(seed)
    for slot in lora.adapted(decoder).values():
        if slot.active is not None:
            slot.active.b.data.normal_(0, 0.1, generator=random)
    return decoder


def logits(decoder: Decoder) -> torch.Tensor:
    with torch.no_grad():
        return decoder(ids_BT)


@pytest.fixture
def qwen3(pair_of) -> Decoder:
    return read_decoder(pair_of("qwen3").folder)


@pytest.fixture
def saved(pair_of, tmp_path) -> Path:
    """An adapter of the random Qwen 3, in a folder."""
    base = pair_of("qwen3").folder
    peft_folder.save(with_random_adapter(read_decoder(base)), tmp_path / "adapter", "owner/base", hash_model(base))
    return tmp_path / "adapter"


# PEFT. In 64 bits what is left is the norms of transformers, which are in 32; in 32 bits the bases alone differ by 2e-5.


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-5), (torch.float32, 5e-5)], ids=["fp64", "fp32"])
@pytest.mark.parametrize("family", FAMILIES)
def test_peft_opens_what_is_saved(pair_of, tmp_path, family, dtype, limit):
    pair = pair_of(family)
    ours = with_random_adapter(read_decoder(pair.folder, dtype=dtype))
    peft_folder.save(ours, tmp_path, str(pair.folder), hash_model(pair.folder))
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(pair.theirs).to(dtype), tmp_path)
    with torch.no_grad():
        expected = theirs(ids_BT).logits
        with theirs.disable_adapter():
            assert (theirs(ids_BT).logits - expected).std() > 0.2 * pair.deviation
    assert (logits(ours) - expected).abs().max() < limit * expected.std()
    held = {name for name, _ in theirs.named_parameters() if "lora_" in name}
    at = 4 if family == "gpt2" else 7  # GPT-2's q, k and v are one
    assert len(held) == len(load_file(tmp_path / peft_folder.TENSORS)) == 2 * 3 * at


@pytest.mark.parametrize(("family", "projections"), [("gpt2", ("out",)), ("gpt2", ("up", "down")), ("qwen3", ("k", "up"))])
def test_peft_finds_the_projections_that_are_meant(pair_of, tmp_path, family, projections):
    """GPT-2 has two that are called c_proj."""
    pair = pair_of(family)
    ours = with_random_adapter(read_decoder(pair.folder, dtype=torch.float64), LoRASettings(rank=2, projections=projections))
    peft_folder.save(ours, tmp_path, str(pair.folder), hash_model(pair.folder))
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(pair.theirs).double(), tmp_path)
    assert len([name for name, _ in theirs.named_parameters() if "lora_" in name]) == 2 * 3 * len(projections)
    with torch.no_grad():
        expected = theirs(ids_BT).logits
    assert (logits(ours) - expected).abs().max() < 1e-5 * expected.std()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_peft_saves_is_opened(pair_of, tmp_path, family):
    pair = pair_of(family)
    targets = ["attn.c_proj", "c_fc"] if family == "gpt2" else ["q_proj", "v_proj", "down_proj"]
    settings = peft.LoraConfig(r=3, lora_alpha=5, lora_dropout=0.1, target_modules=targets, task_type="CAUSAL_LM")
    theirs = peft.get_peft_model(copy.deepcopy(pair.theirs).double(), settings).eval()
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
        expected = theirs(ids_BT).logits
    theirs.save_pretrained(tmp_path)
    ours = read_decoder(pair.folder, dtype=torch.float64)
    peft_folder.load(ours, tmp_path, "theirs", pair.folder)
    assert (logits(ours) - expected).abs().max() < 1e-5 * expected.std()
    lora.use(ours, None)
    assert (logits(ours) - expected).std() > 0.1 * pair.deviation


def test_what_is_saved_is_loaded_to_the_bit(pair_of, qwen3, saved):
    peft_folder.load(qwen3, saved, "again", pair_of("qwen3").folder)
    assert torch.equal(logits(qwen3), logits(with_random_adapter(read_decoder(pair_of("qwen3").folder))))
    assert not any(parameter.requires_grad for parameter in qwen3.parameters())
    card = json.loads((saved / peft_folder.CARD).read_text())
    assert card == {"stage": "adapter", "parent": hash_model(pair_of("qwen3").folder), "hash": peft_folder.hash_adapter(saved)}


def test_a_hash_tells_adapters_apart(saved):
    first = peft_folder.hash_adapter(saved)
    change_adapter_config(saved, lora_alpha=12.0, lora_dropout=0.5, base_model_name_or_path=None)
    assert peft_folder.hash_adapter(saved) == first
    change_adapter_config(saved, lora_alpha=13)
    assert peft_folder.hash_adapter(saved) != first
    change_adapter_config(saved, lora_alpha=12)
    change_adapter_weights(saved, lambda tensors: {name: 2 * tensor for name, tensor in tensors.items()})
    assert peft_folder.hash_adapter(saved) != first


# The formula.


def test_a_new_adapter_changes_no_bit_and_is_the_same_for_a_seed(pair_of, qwen3):
    before = logits(qwen3)
    lora.add(qwen3, LoRASettings(rank=4), seed=7)
    assert torch.equal(logits(qwen3), before)
    other = read_decoder(pair_of("qwen3").folder)
    lora.add(other, LoRASettings(rank=4), seed=7)
    lora.add(other, LoRASettings(rank=4), seed=8, name="another")
    for path, slot in lora.adapted(qwen3).items():
        a_RI, same, another = (each.a for each in (slot.adapters["default"], *lora.adapted(other)[path].adapters.values()))
        assert torch.equal(a_RI, same)
        assert not torch.equal(a_RI, another)
        assert 0.8 < a_RI.abs().max() * slot.inputs**0.5 <= 1


def test_only_a_and_b_learn_with_the_gradients_of_the_formula(pair_of, qwen3):
    """Against autograd through a plain decoder whose matrices are written out as W + (alpha / rank) B A."""
    settings = LoRASettings(rank=4, alpha=12, projections=("q", "out", "gate", "down"))
    with_random_adapter(qwen3, settings)
    qwen3(ids_BT).log_softmax(-1)[..., 5].sum().backward()
    with_gradient = {name for name, parameter in qwen3.named_parameters() if parameter.grad is not None}
    assert with_gradient == {name for name, parameter in qwen3.named_parameters() if parameter.requires_grad}
    slots = lora.adapted(qwen3)
    assert len(slots) == 3 * 4
    assert len(with_gradient) == 2 * len(slots)

    plain = read_decoder(pair_of("qwen3").folder)
    weights = {name: parameter.detach() for name, parameter in plain.named_parameters()}
    pairs = {
        path: [m.detach().clone().requires_grad_() for m in (slot.active.a, slot.active.b)] for path, slot in slots.items()
    }
    for path, (a_RI, b_OR) in pairs.items():
        weights[f"{path}.weight"] = weights[f"{path}.weight"] + 12 / 4 * b_OR @ a_RI
    with torch.no_grad():
        assert (torch.func.functional_call(plain, weights, ids_BT) - logits(qwen3)).abs().max() < 1e-4
    torch.func.functional_call(plain, weights, ids_BT).log_softmax(-1)[..., 5].sum().backward()
    for path, slot in slots.items():
        for found, expected in zip((slot.active.a, slot.active.b), pairs[path], strict=True):
            torch.testing.assert_close(found.grad, expected.grad, rtol=1e-3, atol=1e-4 * float(expected.grad.abs().max()))


def test_the_optimiser_takes_a_and_b_alone(qwen3):
    with_random_adapter(qwen3)
    optimizer = MuonAdamW(qwen3, Rates(matrices=0.1, embedding=0.1, rest=1e-2, decay=0.0, momentum=0.9))
    assert len(optimizer.parameters) == 2 * 3 * len(PROJECTIONS)
    frozen = {name: parameter.clone() for name, parameter in qwen3.named_parameters() if not parameter.requires_grad}
    losses = []
    for _ in range(5):
        loss = -qwen3(ids_BT).log_softmax(-1)[..., 5].mean()
        loss.backward()
        optimizer.step(1.0)
        optimizer.forget_gradients()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
    assert all(torch.equal(dict(qwen3.named_parameters())[name], before) for name, before in frozen.items())


def test_dropout_is_of_the_inputs_of_a_while_it_learns(qwen3):
    with_random_adapter(qwen3, LoRASettings(rank=4, alpha=12, dropout=0.25))
    part = next(iter(lora.adapted(qwen3).values())).active
    part.a.data.fill_(1.0)
    part.b.data.fill_(1.0)
    ones_NI = torch.ones(2000, part.a.shape[1])
    torch.manual_seed(0)
    dropped = part(ones_NI)[:, 0].detach()
    expected = 12 / 4 * 4 * part.a.shape[1]  # scale · rank · the sum of the inputs
    assert len({round(float(y)) for y in dropped}) > 5
    assert abs(float(dropped.mean()) / expected - 1) < 0.01
    assert torch.allclose(dropped * 0.75 / 12, (dropped * 0.75 / 12).round(), atol=1e-3)  # whole inputs, scaled by 1 / 0.75
    assert not torch.equal(qwen3(ids_BT), qwen3(ids_BT))
    whole = logits(qwen3)
    assert torch.equal(whole, logits(qwen3))
    qwen3.requires_grad_(False)
    assert torch.equal(qwen3(ids_BT), whole)


# 16 bits.


@pytest.mark.parametrize("mixed_first", [True, False])
def test_products_in_16_bits_while_it_learns(pair_of, mixed_first):
    decoder = read_decoder(pair_of("qwen3").folder)
    whole = logits(with_random_adapter(read_decoder(pair_of("qwen3").folder)))
    if mixed_first:
        multiply_in(decoder, torch.bfloat16)
    with_random_adapter(decoder)
    if not mixed_first:
        multiply_in(decoder, torch.bfloat16)
    slots = lora.adapted(decoder).values()
    assert all(type(slot.base) is MixedLinear and slot.dtype == torch.bfloat16 for slot in slots)
    slot = next(iter(slots))
    assert slot(torch.ones(3, slot.inputs)).dtype == torch.bfloat16
    found = decoder(ids_BT)
    assert 0 < (found - whole).std() < 0.1 * whole.std()
    found.float().log_softmax(-1)[..., 5].sum().backward()
    for slot in slots:
        assert slot.active.a.dtype == slot.active.a.grad.dtype == slot.active.b.grad.dtype == torch.float32
    assert torch.equal(logits(decoder), whole)  # what is looked at is fp32
    lora.merge(decoder)
    assert (logits(decoder) - whole).abs().max() < 5e-5 * whole.std()


def test_a_base_in_16_bits(pair_of, saved):
    """As far from 32 bits as PEFT is, or nearer."""
    pair = pair_of("qwen3")
    ours, half = (read_decoder(pair.folder, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    for decoder in (ours, half):
        peft_folder.load(decoder, saved, "same", pair.folder)
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(pair.theirs).bfloat16(), saved)
    with torch.no_grad():
        error = (theirs(ids_BT).logits - logits(ours)).std()
    assert logits(half).dtype == torch.bfloat16
    assert (logits(half) - logits(ours)).std() < 1.5 * error
    lora.learn(half, "same")
    half(ids_BT).float().sum().backward()
    assert all(slot.active.b.grad.dtype == torch.float32 for slot in lora.adapted(half).values())
    lora.merge(half)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert (logits(half) - logits(ours)).std() < 1.5 * error


# Several.


def test_adapters_side_by_side(pair_of, qwen3):
    base = logits(qwen3)
    settings = {"chat": LoRASettings(rank=4), "tables v1.2": LoRASettings(rank=2, alpha=3, projections=("v", "up"))}
    alone = {}
    for seed, (name, own) in enumerate(settings.items()):
        with_random_adapter(qwen3, own, seed, name)
        alone[name] = logits(with_random_adapter(read_decoder(pair_of("qwen3").folder), own, seed, name))
    assert lora.names(qwen3) == list(settings)
    assert not torch.equal(alone["chat"], alone["tables v1.2"])
    for name in ("chat", "tables v1.2", "chat", None, "tables v1.2", None):
        lora.use(qwen3, name)
        assert torch.equal(logits(qwen3), base if name is None else alone[name])
    assert len(lora.adapted(qwen3)) == 3 * 7
    lora.learn(qwen3, "chat")
    assert torch.equal(logits(qwen3), alone["chat"])
    assert sum(parameter.requires_grad for parameter in qwen3.parameters()) == 2 * 3 * 7
    lora.learn(qwen3, "tables v1.2")
    assert sum(parameter.requires_grad for parameter in qwen3.parameters()) == 2 * 3 * 2
    again = copy.deepcopy(qwen3)
    lora.use(again, "chat")
    assert torch.equal(logits(again), alone["chat"])
    assert torch.equal(logits(qwen3), alone["tables v1.2"])


def test_an_adapter_is_of_the_blocks_alone(qwen3):
    """A tied head stays the embedding's own matrix."""
    with_random_adapter(qwen3)
    assert type(qwen3.head) is Linear
    assert qwen3.head.weight is qwen3.embedding.weight
    assert set(lora.adapted(qwen3)) == {
        f"blocks.{i}.{part}" for i in range(3)
        for part in ("attention.q", "attention.k", "attention.v", "attention.out",
                     "feed_forward.gate", "feed_forward.up", "feed_forward.down")
    }  # fmt: skip


# Merged.


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_equals_unmerged(pair_of, family):
    decoder = with_random_adapter(read_decoder(pair_of(family).folder, dtype=torch.float64))
    before = logits(decoder)
    dense = {path: slot.dense() for path, slot in lora.adapted(decoder).items()}
    lora.merge(decoder)
    assert (logits(decoder) - before).abs().max() < 1e-5 * before.std()
    assert not any(isinstance(module, LoRALinear) for module in decoder.modules())
    assert all(parameter.requires_grad for parameter in decoder.parameters())
    for path, matrix in dense.items():
        assert matrix.dtype == torch.float32
        assert torch.equal(decoder.get_submodule(path).dense(), matrix)
    names = [name for name, _ in decoder.named_parameters()]
    assert names == [name for name, _ in read_decoder(pair_of(family).folder).named_parameters()]


def test_what_is_merged_is_the_adapter_in_use(pair_of, qwen3):
    base = logits(qwen3)
    with_random_adapter(qwen3)
    lora.use(qwen3, None)
    lora.merge(qwen3)
    assert torch.equal(logits(qwen3), base)


# Refused.


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rank": 0}, "LoRA's rank must be a whole number above 0, not 0"),
        ({"rank": 2.5}, "LoRA's rank must be a whole number above 0, not 2.5"),
        ({"alpha": 0}, "LoRA's alpha must be a number above 0, not 0"),
        ({"dropout": 1}, "LoRA's dropout must be from 0 to below 1, not 1"),
        ({"projections": ("q", "qkv")}, "LoRA's projections must be some of q, k, v, out, gate, up, down, not"),
        ({"projections": ()}, "LoRA's projections must be some of q, k, v, out, gate, up, down, not"),
    ],
)
def test_settings_out_of_range(settings, said):
    with pytest.raises(LiuliError, match=said):
        LoRASettings(**settings)


def test_names_of_adapters(qwen3):
    with pytest.raises(LiuliError, match="no adapter named 'chat' is open; open adapters: none"):
        lora.use(qwen3, "chat")
    with_random_adapter(qwen3)
    with pytest.raises(LiuliError, match="no adapter named 'chat' is open; open adapters: default"):
        lora.learn(qwen3, "chat")
    with pytest.raises(LiuliError, match="an adapter named 'default' is open already"):
        lora.add(qwen3, LoRASettings(), 0)


def test_gpt2_has_no_q_of_its_own(pair_of):
    decoder = read_decoder(pair_of("gpt2").folder)
    with pytest.raises(LiuliError, match="a gpt2 model stores q, k, v as one matrix: adapt all of them, or none"):
        lora.add(decoder, LoRASettings(projections=("out", "q")), 0)
    with pytest.raises(LiuliError, match="a gpt2 model can have LoRA at q, k, v, out, up, down, but not at gate: remove gate"):
        lora.add(decoder, LoRASettings(projections=("gate",)), 0)
    assert not lora.adapted(decoder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("peft_type", "IA3"), ("peft_type", "ADALORA"), ("use_dora", True), ("bias", "all"), ("bias", "lora_only"),
        ("layers_to_transform", "0"), ("rank_pattern", ["q_proj"]), ("target_modules", {"q_proj": 1}), ("layers_pattern", [3]),
        ("init_lora_weights", "pissa"), ("lora_bias", True), ("trainable_token_indices", {"norm": [1]}), ("use_qalora", True),
        ("target_parameters", ["mlp.experts"]), ("layer_replication", [[0, 2]]), ("alora_invocation_tokens", [1]),
        ("brand_new", 3),
    ],
)  # fmt: skip
def test_settings_of_others_that_change_the_numbers(pair_of, qwen3, saved, name, value):
    change_adapter_config(saved, **{name: value})
    with pytest.raises(LiuliError) as error:
        peft_folder.load(qwen3, saved, "theirs", pair_of("qwen3").folder)
    assert str(error.value).startswith(f"{saved / peft_folder.CONFIG}: {name} ")
    assert repr(value) in str(error.value)


def test_another_base_by_hash(pair_of, saved, tmp_path):
    pair = pair_of("qwen3")
    other = copy.deepcopy(pair.theirs)
    with torch.no_grad():
        other.model.norm.weight.add_(1)
    other.save_pretrained(tmp_path / "other")
    decoder = read_decoder(tmp_path / "other")
    with pytest.raises(LiuliError) as error:
        peft_folder.load(decoder, saved, "chat", tmp_path / "other")
    hashes = hash_model(pair.folder), hash_model(tmp_path / "other")
    assert f"it was trained on the model with the hash {hashes[0]}, but this model has {hashes[1]}" in str(error.value)
    assert not lora.adapted(decoder)
    (saved / peft_folder.CARD).unlink()
    peft_folder.load(decoder, saved, "chat", tmp_path / "other")


def test_another_base_by_shape(pair_of, saved):
    folder = pair_of("llama3").folder  # its heads are half as wide
    key = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    with pytest.raises(LiuliError) as error:
        peft_folder.load(read_decoder(folder), saved, "chat", folder)
    shapes = f"{key} has shape [64, 4], but adapter_config.json and that model imply [32, 4]"
    assert str(error.value) == f"{saved} is not an adapter of {folder}: {shapes}; {peft_folder.OTHER_BASE}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: {k: v for k, v in tensors.items() if "layers.2.mlp" not in k}, r"layers.2.mlp.down_proj.* missing"),
        (lambda tensors: tensors | {"base_model.model.lm_head.weight": torch.ones(1)}, r"\(base_model.model.lm_head.weight\)"),
        (lambda tensors: {k.replace("layers.2", "layers.3"): v for k, v in tensors.items()}, "layers.3.mlp.* of 3 blocks"),
        (lambda tensors: {}, "is empty: a qwen3 model of 3 blocks can have LoRA only at q, k"),
        (lambda tensors: {k: v.to(torch.int8) for k, v in tensors.items()}, "torch.int8: quantised adapters are not supported"),
        (lambda tensors: {k: v / 0 for k, v in tensors.items()}, "are NaN or infinite"),
    ],
    ids=["a block's lacking", "a head", "a block too many", "nothing", "quantised", "infinite"],
)  # fmt: skip
def test_tensors_that_are_not_an_adapters(pair_of, qwen3, saved, change, said):
    change_adapter_weights(saved, change)
    with pytest.raises(LiuliError, match=said):
        peft_folder.load(qwen3, saved, "chat", pair_of("qwen3").folder)


def test_folders_that_are_no_adapters(pair_of, qwen3, saved):
    base = pair_of("qwen3").folder
    for folder, said in (
        (saved / "none", "there is no folder"),
        (base, "contains no adapter_config.json, so it is not an adapter"),
    ):
        with pytest.raises(LiuliError, match=said):
            peft_folder.load(qwen3, folder, "chat", base)
    change_adapter_config(saved, r=None)
    with pytest.raises(LiuliError, match=r"adapter_config.json: LoRA's rank must be a whole number above 0, not None"):
        peft_folder.load(qwen3, saved, "chat", base)
    (saved / peft_folder.CONFIG).write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 12}')
    peft_folder.load(qwen3, saved, "chat", base)
    (saved / peft_folder.TENSORS).write_bytes(b"not a tensor")
    with pytest.raises(LiuliError, match=r"adapter_model.safetensors is broken or truncated"):
        peft_folder.load(qwen3, saved, "again", base)


def test_a_folder_that_cannot_be_written(qwen3, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LiuliError, match="the adapter cannot be written to"):
        peft_folder.save(with_random_adapter(qwen3), tmp_path / "file" / "adapter", "base", "hash")
