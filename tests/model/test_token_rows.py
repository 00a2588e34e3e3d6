"""Rows of a few tokens beside LoRA: against PEFT, both ways, and against autograd on a plain decoder."""

import copy
import json

import peft
import pytest
import torch
import torch.nn.functional as F
from helpers.changes import change_adapter_config, change_adapter_weights
from helpers.families import VOCABULARY
from safetensors.torch import load_file
from test_lora import SETTINGS, ids_BT, logits, with_random_adapter

from liuli.errors import LiuliError
from liuli.generate.engine import Engine, Request
from liuli.generate.sampling import Sampling
from liuli.learn.prepare.model import multiply_in
from liuli.learn.step.average import Average
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.rates import Rates
from liuli.model import cpu_kernels, logprobs
from liuli.model.adapters import lora, peft_folder
from liuli.model.adapters.lora import LoRASettings
from liuli.model.adapters.slot import adapter_slots
from liuli.model.adapters.token_rows import TokenRows
from liuli.model.cache import KVCache
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import hash_model, read_decoder
from liuli.model.formats.hugging_face import write_decoder
from liuli.model.linear import Embedding, Linear
from liuli.model.logprobs import summed_nats

TIED, UNTIED = ("gpt2", "llama3", "qwen3", "gemma3"), ("llama-biases", "mistral", "gemma3-linear")
TOKENS = tuple(sorted({*ids_BT[0, :7].tolist(), 98}, reverse=True))
OTHERS = [id for id in range(VOCABULARY) if id not in TOKENS]
WITH_ROWS = LoRASettings(rank=4, alpha=12, tokens=TOKENS)
RATES = Rates(matrices=0.1, embedding=0.02, rest=0.01, decay=0.0, momentum=0.9)


def rows_of(decoder: Decoder) -> dict[str, TokenRows]:
    """Of the adapter in use; once where they are shared."""
    found = {path: slot.active for path, slot in adapter_slots(decoder).items() if isinstance(slot.active, TokenRows)}
    return {path: part for path, part in found.items() if path == "embedding" or part is not found.get("embedding")}


def with_random_rows(decoder: Decoder, settings: LoRASettings = WITH_ROWS, seed: int = 0, name: str = "default") -> Decoder:
    """An adapter that learns and is as if it had learned."""
    with_random_adapter(decoder, settings, seed, name)
    random = torch.Generator().manual_seed(seed + 100)
    for part in rows_of(decoder).values():
        part.rows.data.normal_(0, 0.3, generator=random)
    return decoder


def plain_weights(decoder: Decoder, base: Decoder) -> dict[str, torch.Tensor]:
    """The base's weights with the adapter written into them; A and B are constants, the rows are leaves that learn."""
    weights = {name: parameter.detach() for name, parameter in base.named_parameters(remove_duplicate=False)}
    for path, slot in lora.adapted(decoder).items():
        weights[f"{path}.weight"] = weights[f"{path}.weight"] + slot.active.dense()
    leaves = {path: part.rows.detach().clone().requires_grad_() for path, part in rows_of(decoder).items()}
    for path in ("embedding", "head"):
        table_VD = weights[f"{path}.weight"]
        rows_CD = leaves.get(path, leaves["embedding"]).to(table_VD.dtype)
        weights[f"{path}.weight"] = table_VD.index_copy(0, torch.tensor(TOKENS), rows_CD)
    return weights | {f"leaf.{path}": leaf for path, leaf in leaves.items()}


# PEFT. In 64 bits what is left is the norms of transformers, which are in 32.


@pytest.mark.parametrize("family", TIED + UNTIED)
def test_peft_opens_what_is_saved(pair_of, tmp_path, family):
    pair = pair_of(family)
    ours = with_random_rows(read_decoder(pair.folder, dtype=torch.float64))
    peft_folder.save(ours, tmp_path, str(pair.folder), hash_model(pair.folder))
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(pair.theirs).double(), tmp_path)
    with torch.no_grad():
        expected = theirs(ids_BT).logits
        with theirs.disable_adapter():
            assert (theirs(ids_BT).logits - expected).std() > 0.2 * pair.deviation
    assert (logits(ours) - expected).abs().max() < 2e-5 * expected.std()  # Gemma has twice as many norms
    names = {name for name in load_file(tmp_path / peft_folder.TENSORS) if "lora_" not in name}
    embedding = "transformer.wte" if family == "gpt2" else "model.embed_tokens"
    modules = [embedding] if family in TIED else [embedding, "lm_head"]
    assert names == {f"base_model.model.{module}.token_adapter.trainable_tokens_delta" for module in modules}
    indices = json.loads((tmp_path / peft_folder.CONFIG).read_text())["trainable_token_indices"]
    assert indices == list(TOKENS) if family in TIED else {"embed_tokens": list(TOKENS), "lm_head": list(TOKENS)}


@pytest.mark.parametrize(
    ("family", "indices"),
    [
        ("gpt2", [5, 98, 3]), ("gpt2", {"wte": [5]}), ("qwen3", [5, 98, 3]), ("qwen3", {"embed_tokens": [98, 5]}),
        ("qwen3", {"model.embed_tokens": [98, 5], "lm_head": [98, 5]}), ("mistral", [5, 98, 3]),
        ("mistral", {"lm_head": [5]}), ("mistral", {"embed_tokens": [5, 3], "lm_head": [5, 3]}),
        ("mistral", {"embed_tokens": [5, 3], "lm_head": [98]}),
    ],
)  # fmt: skip
def test_what_peft_saves_is_opened_and_saved_again(pair_of, tmp_path, family, indices):
    """On an untied head also what is of the embedding alone, of the head alone, and of other tokens in each."""
    pair = pair_of(family)
    target = "c_fc" if family == "gpt2" else "q_proj"
    settings = peft.LoraConfig(r=3, target_modules=[target], task_type="CAUSAL_LM", trainable_token_indices=indices)
    settings.ensure_weight_tying = family == "gpt2"
    theirs = peft.get_peft_model(copy.deepcopy(pair.theirs).double(), settings).eval()
    torch.manual_seed(5)
    seen = torch.tensor([[1, 5, 98, 3, 7, 5, 5, 3]])
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_B" in name or "tokens_delta" in name:
                parameter.normal_(0, 0.3)
        expected = theirs(seen).logits
    theirs.save_pretrained(tmp_path / "theirs")
    ours = read_decoder(pair.folder, dtype=torch.float64)
    with torch.no_grad():
        base = ours(seen)
        peft_folder.load(ours, tmp_path / "theirs", "theirs", pair.folder)
        assert (ours(seen) - expected).abs().max() < 1e-5 * expected.std()
        peft_folder.save(ours, tmp_path / "ours", "base", hash_model(pair.folder))
        again = peft.PeftModel.from_pretrained(copy.deepcopy(pair.theirs).double(), tmp_path / "ours")
        assert (again(seen).logits - expected).abs().max() < 1e-5 * expected.std()
        lora.use(ours, None)
        assert torch.equal(ours(seen), base)


@pytest.mark.parametrize("family", ["qwen3", "mistral"])
def test_what_is_saved_is_loaded_to_the_bit_and_goes_on_learning(pair_of, tmp_path, family):
    base = pair_of(family).folder
    ours = with_random_rows(read_decoder(base))
    peft_folder.save(ours, tmp_path, "base", hash_model(base))
    again = read_decoder(base)
    peft_folder.load(again, tmp_path, "again", base)
    assert torch.equal(logits(again), logits(ours))
    assert not any(parameter.requires_grad for parameter in again.parameters())
    lora.learn(again, "again")
    wanted = {name for name, parameter in again.named_parameters() if parameter.requires_grad}
    assert wanted == {name for name, parameter in ours.named_parameters() if parameter.requires_grad}


def test_a_hash_tells_tokens_and_rows_apart(pair_of, tmp_path):
    base = pair_of("qwen3").folder
    peft_folder.save(with_random_rows(read_decoder(base)), tmp_path, "base", hash_model(base))
    first = peft_folder.hash_adapter(tmp_path)
    change_adapter_config(tmp_path, trainable_token_indices=[*TOKENS[1:], TOKENS[0]])
    assert peft_folder.hash_adapter(tmp_path) != first
    change_adapter_config(tmp_path, trainable_token_indices=list(TOKENS))
    assert peft_folder.hash_adapter(tmp_path) == first
    change_adapter_weights(tmp_path, lambda tensors: {k: v + 1 if "token" in k else v for k, v in tensors.items()})
    assert peft_folder.hash_adapter(tmp_path) != first


# What they compute.


@pytest.mark.parametrize("family", TIED + UNTIED)
def test_new_rows_are_the_bases_own(pair_of, family):
    """Other tokens' logits are the base's to the bit; those of the tokens come from a product of other shape."""
    decoder = read_decoder(pair_of(family).folder)
    before = logits(decoder)
    lora.add(decoder, WITH_ROWS, seed=7)
    assert torch.equal(logits(decoder)[..., OTHERS], before[..., OTHERS])
    assert (logits(decoder) - before).abs().max() < 5e-6 * before.std()
    lora.add(with_random_rows(decoder, name="between"), WITH_ROWS, seed=8, name="another")
    assert (logits(decoder) - before).abs().max() < 5e-6 * before.std()


@pytest.mark.parametrize("family", TIED + UNTIED)
def test_gradients_reach_these_rows_as_in_a_plain_decoder(pair_of, monkeypatch, family):
    """By the embedding and by the loss, which is made a chunk of positions at a time."""
    monkeypatch.setattr(logprobs, "LOGITS_AT_ONCE", 7 * VOCABULARY)
    monkeypatch.setattr(logprobs, "LEAST_TOKENS", 1)
    decoder, plain = (read_decoder(pair_of(family).folder, dtype=torch.float64) for _ in range(2))
    with_random_rows(decoder)
    targets_BT = ids_BT.roll(-1, 1)
    nats = summed_nats(decoder.head, decoder.hidden(ids_BT).flatten(0, 1), targets_BT.flatten())
    nats.backward()
    with_gradient = {name for name, parameter in decoder.named_parameters() if parameter.grad is not None}
    assert with_gradient == {name for name, parameter in decoder.named_parameters() if parameter.requires_grad}
    assert {name for name in with_gradient if not name.startswith("blocks.")} == {
        f"{path}.parts.0.rows" for path in ("embedding", *(() if family in TIED else ("head",)))
    }
    weights = plain_weights(decoder, plain)
    leaves = {name.removeprefix("leaf."): weights.pop(name) for name in list(weights) if name.startswith("leaf.")}
    expected = torch.func.functional_call(plain, weights, ids_BT, tie_weights=False)
    loss = F.cross_entropy(expected.flatten(0, 1).float(), targets_BT.flatten(), reduction="sum")
    assert float(nats.detach()) == pytest.approx(float(loss.detach()), rel=1e-5)
    loss.backward()
    for path, part in rows_of(decoder).items():
        assert part.rows.grad.dtype == torch.float32
        limit = 1e-4 * float(leaves[path].grad.abs().max())
        torch.testing.assert_close(part.rows.grad, leaves[path].grad, rtol=1e-3, atol=limit)


def test_a_table_read_has_the_rows_at_their_tokens_alone(pair_of):
    decoder = with_random_rows(read_decoder(pair_of("qwen3").folder))
    slot, part = adapter_slots(decoder)["embedding"], rows_of(decoder)["embedding"]
    table_VD = slot(torch.arange(VOCABULARY))
    assert torch.equal(table_VD[list(TOKENS)], part.rows)
    assert torch.equal(table_VD[OTHERS], slot.base(torch.tensor(OTHERS)))
    assert torch.equal(slot.dense(), table_VD)
    assert torch.equal(decoder.head.dense(), table_VD)


@pytest.mark.parametrize("family", ["qwen3", "mistral"])
@pytest.mark.parametrize("mixed_first", [True, False])
def test_products_in_16_bits_while_they_learn(pair_of, family, mixed_first):
    decoder = read_decoder(pair_of(family).folder)
    whole = logits(with_random_rows(read_decoder(pair_of(family).folder)))
    if mixed_first:
        multiply_in(decoder, torch.bfloat16)
    with_random_rows(decoder)
    if not mixed_first:
        multiply_in(decoder, torch.bfloat16)
    found = decoder(ids_BT)
    assert found.dtype == decoder.head.dtype == torch.bfloat16
    assert 0 < (found - whole).std() < 0.1 * whole.std()
    summed_nats(decoder.head, decoder.hidden(ids_BT).flatten(0, 1), ids_BT.flatten()).backward()
    assert all(part.rows.grad.dtype == torch.float32 for part in rows_of(decoder).values())
    assert torch.equal(logits(decoder), whole)  # what is looked at is fp32
    lora.merge(decoder)
    assert (logits(decoder) - whole).abs().max() < 5e-5 * whole.std()


def test_a_base_in_16_bits(pair_of, tmp_path):
    """As far from 32 bits as PEFT is, or nearer."""
    pair = pair_of("qwen3")
    peft_folder.save(with_random_rows(read_decoder(pair.folder)), tmp_path, "base", hash_model(pair.folder))
    ours, half = (read_decoder(pair.folder, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    for decoder in (ours, half):
        peft_folder.load(decoder, tmp_path, "same", pair.folder)
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(pair.theirs).bfloat16(), tmp_path)
    with torch.no_grad():
        error = (theirs(ids_BT).logits - logits(ours)).std()
    assert logits(half).dtype == torch.bfloat16
    assert (logits(half) - logits(ours)).std() < 1.5 * error
    lora.merge(half)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert (logits(half) - logits(ours)).std() < 1.5 * error


@pytest.mark.parametrize("family", ["qwen3", "mistral"])
@pytest.mark.parametrize("by_sums", [True, False])
def test_generation_writes_and_reads_the_rows(pair_of, monkeypatch, family, by_sums):
    """One token at a time from a cache, with the product of one row as large matrices have it; as the merged model does."""
    monkeypatch.setattr(cpu_kernels, "ONE_ROW_BY_SUMS", by_sums)
    decoder = with_random_rows(read_decoder(pair_of(family).folder))
    decoder.head.base.large = True
    whole, slots, steps = logits(decoder)[0], KVCache(decoder.config, 1, 40, "cpu", torch.float32), []
    with torch.no_grad():
        for id in ids_BT[0]:
            rows = slots.rows([0], [1])
            steps.append(decoder.logits(decoder.hidden(id.view(1, 1), cache=rows))[0, 0])
    assert (torch.stack(steps) - whole).abs().max() < 5e-5 * whole.std()
    before = completed(decoder)
    assert set(before) & set(TOKENS)
    lora.merge(decoder)
    assert completed(decoder) == before


def completed(decoder: Decoder) -> list[int]:
    engine = Engine(decoder, None, slots=1, capacity=40)
    engine.submit(Request(ids_BT[0, :5].tolist(), Sampling(temperature=2.0), 30))
    found = []
    while engine.busy:
        found += [record.token.id for record in engine.step()]
    return found


# Several, and none.


@pytest.mark.parametrize("family", ["qwen3", "mistral"])
def test_adapters_side_by_side(pair_of, family):
    """With other tokens, with some of the same, and without any."""
    decoder = read_decoder(pair_of(family).folder)
    base = logits(decoder)
    settings = {"chat": WITH_ROWS, "plain": SETTINGS, "tables": LoRASettings(rank=2, projections=("v",), tokens=(TOKENS[0], 1))}
    alone = {}
    for seed, (name, own) in enumerate(settings.items()):
        with_random_rows(decoder, own, seed, name)
        alone[name] = logits(with_random_rows(read_decoder(pair_of(family).folder), own, seed, name))
    for name in ("chat", "tables", "plain", None, "tables", "chat", None):
        lora.use(decoder, name)
        assert torch.equal(logits(decoder), base if name is None else alone[name])
    for name, tables in (("chat", 1), ("plain", 0), ("tables", 1)):
        lora.learn(decoder, name)
        learning = [name for name, parameter in decoder.named_parameters() if parameter.requires_grad and "rows" in name]
        assert len(learning) == tables * (1 if family == "qwen3" else 2)
    again = copy.deepcopy(decoder)
    lora.use(again, "chat")
    assert torch.equal(logits(again), alone["chat"])
    lora.use(decoder, "chat")
    lora.merge(decoder)
    assert (logits(decoder) - alone["chat"]).abs().max() < 5e-5 * base.std()


def test_a_loss_with_the_adapter_that_learns_switched_off(pair_of):
    decoder = with_random_rows(read_decoder(pair_of("qwen3").folder))
    lora.use(decoder, None)
    x_ND = decoder.hidden(ids_BT).flatten(0, 1)
    plain = read_decoder(pair_of("qwen3").folder)
    with torch.no_grad():
        expected = summed_nats(plain.head, x_ND, ids_BT.flatten())
    assert torch.equal(summed_nats(decoder.head, x_ND, ids_BT.flatten()).detach(), expected)


@pytest.mark.parametrize("family", ["qwen3", "mistral"])
def test_the_optimiser_moves_the_rows_at_the_embeddings_rate_and_nothing_of_the_base(pair_of, family):
    decoder = with_random_rows(read_decoder(pair_of(family).folder))
    optimizer, average = MuonAdamW(decoder, RATES), Average(decoder)
    parts = rows_of(decoder)
    assert {name for name in average.weights() if "rows" in name} == {f"{path}.parts.0.rows" for path in parts}
    frozen = {name: parameter.clone() for name, parameter in decoder.named_parameters() if not parameter.requires_grad}
    before = {path: part.rows.detach().clone() for path, part in parts.items()}
    losses = []
    for step in range(5):
        loss = summed_nats(decoder.head, decoder.hidden(ids_BT).flatten(0, 1), ids_BT.roll(-1, 1).flatten()) / ids_BT.numel()
        loss.backward()
        optimizer.step(1.0)
        optimizer.forget_gradients()
        losses.append(loss.item())
        if step == 0:
            for path, part in parts.items():  # AdamW's first step is as large as its rate
                assert (part.rows.detach() - before[path]).abs().median() == pytest.approx(RATES.embedding, rel=1e-3)
    assert losses[-1] < losses[0] - 0.1
    named = dict(decoder.named_parameters())
    assert all(torch.equal(named[name], held) for name, held in frozen.items())
    lora.use(decoder, None)
    assert torch.equal(logits(decoder), logits(read_decoder(pair_of(family).folder)))


# Merged.


@pytest.mark.parametrize("family", TIED + UNTIED)
def test_merged_equals_unmerged(pair_of, tmp_path, family):
    decoder = with_random_rows(read_decoder(pair_of(family).folder, dtype=torch.float64))
    before = logits(decoder)
    lora.merge(decoder)
    assert (logits(decoder) - before).abs().max() < 1e-5 * before.std()
    plain = read_decoder(pair_of(family).folder)
    assert type(decoder.embedding) is Embedding and type(decoder.head) is Linear
    assert (decoder.head.weight is decoder.embedding.weight) is (family in TIED)
    assert [name for name, _ in decoder.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert all(parameter.requires_grad for parameter in decoder.parameters())
    write_decoder(decoder, tmp_path)
    assert (logits(read_decoder(tmp_path)) - before).abs().max() < 5e-5 * before.std()


def test_merging_with_no_adapter_in_use_is_the_base(pair_of):
    decoder = with_random_rows(read_decoder(pair_of("qwen3").folder))
    lora.use(decoder, None)
    lora.merge(decoder)
    assert torch.equal(logits(decoder), logits(read_decoder(pair_of("qwen3").folder)))


# Refused.


@pytest.mark.parametrize("tokens", [(1, 1), (-1,), (1.0,), ("a",), None])
def test_settings_out_of_range(tokens):
    with pytest.raises(LiuliError, match="LoRA's tokens must be different ids, not"):
        LoRASettings(tokens=tokens)


def test_a_token_that_the_model_lacks(pair_of):
    decoder = read_decoder(pair_of("qwen3").folder)
    with pytest.raises(LiuliError, match="token 99 cannot be trained: the model's ids are 0 to 98"):
        lora.add(decoder, LoRASettings(tokens=(3, 99)), 0)
    assert not adapter_slots(decoder)


@pytest.mark.parametrize(
    ("family", "indices"),
    [
        ("qwen3", {"lm_head": [5]}), ("qwen3", {"embed_tokens": [5], "lm_head": [6]}), ("qwen3", {"norm": [5]}),
        ("qwen3", {"embed_tokens": [5], "model.embed_tokens": [6]}), ("qwen3", [5, 5]), ("qwen3", [-5]), ("qwen3", "all"),
        ("mistral", {"embed_tokens": []}), ("mistral", {"wte": [5]}),
    ],
)  # fmt: skip
def test_rows_of_others_that_do_not_map(pair_of, tmp_path, family, indices):
    base = pair_of(family).folder
    peft_folder.save(with_random_adapter(read_decoder(base)), tmp_path, "base", hash_model(base))
    change_adapter_config(tmp_path, trainable_token_indices=indices)
    with pytest.raises(LiuliError) as error:
        peft_folder.load(read_decoder(base), tmp_path, "theirs", base)
    expected = f"{tmp_path / peft_folder.CONFIG}: trainable_token_indices = {indices!r} is not supported: "
    assert str(error.value).startswith(expected)


@pytest.mark.parametrize(
    ("indices", "said"),
    [
        ([1, 2], r"delta has shape \[8, 32\], but adapter_config.json and that model imply \[2, 32\]"),
        (None, r"unknown tensors \(base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta\)"),
        ([*TOKENS[1:], 99], "token 99 cannot be trained"),
    ],
)
def test_rows_that_are_not_what_the_settings_say(pair_of, tmp_path, indices, said):
    base = pair_of("qwen3").folder
    peft_folder.save(with_random_rows(read_decoder(base)), tmp_path, "base", hash_model(base))
    change_adapter_config(tmp_path, trainable_token_indices=indices)
    with pytest.raises(LiuliError, match=said):
        peft_folder.load(read_decoder(base), tmp_path, "theirs", base)
    change_adapter_config(tmp_path, trainable_token_indices=list(TOKENS))
    change_adapter_weights(tmp_path, lambda tensors: {k: v for k, v in tensors.items() if "token_adapter" not in k})
    with pytest.raises(LiuliError, match=r"the tensors .*embed_tokens.token_adapter.trainable_tokens_delta are missing"):
        peft_folder.load(read_decoder(base), tmp_path, "theirs", base)
