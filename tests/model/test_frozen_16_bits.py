"""A frozen base that stays in the 16 bits of its file computes what its copy in fp32 computes, to the bit."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.families import VOCABULARY

from liuli.learn.prepare.model import multiply_in, new_decoder, open_frozen
from liuli.model import cpu_kernels
from liuli.model.adapters import lora
from liuli.model.adapters.lora import LoRASettings
from liuli.model.cache import KVCache
from liuli.model.config import PRESETS
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import hash_model, read_decoder
from liuli.model.formats.hugging_face import own_learning_memory, write_decoder
from liuli.model.linear import Embedding, Linear, MixedLinear
from liuli.model.logprobs import summed_nats

FAMILIES = ("gpt2", "llama3", "llama-biases", "mistral", "qwen2", "qwen3", "gemma3")
SETTINGS = LoRASettings(rank=4, alpha=12, dropout=0.1, tokens=(3, 98))
ids_BT = torch.randint(0, VOCABULARY, (2, 40), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folder_of(pair_of, tmp_path_factory):
    """folder_of(family, dtype): the family's random model, stored in 16 bits."""
    made: dict[tuple[str, torch.dtype], Path] = {}

    def make(family: str, dtype: torch.dtype = torch.bfloat16) -> Path:
        if (family, dtype) not in made:
            made[family, dtype] = tmp_path_factory.mktemp(family)
            write_decoder(read_decoder(pair_of(family).folder), made[family, dtype], dtype)
        return made[family, dtype]

    return make


def with_adapter(decoder: Decoder, products: torch.dtype) -> Decoder:
    """The decoder with an adapter that has learned something, prepared as a run prepares it."""
    lora.add(decoder, SETTINGS, seed=0)
    random = torch.Generator().manual_seed(0)
    for slot in lora.adapted(decoder).values():
        slot.active.b.data.normal_(0, 0.1, generator=random)
    multiply_in(decoder, products)
    own_learning_memory(decoder)
    return decoder


def learned(decoder: Decoder) -> list[torch.Tensor]:
    """The loss and its gradients, of a step with dropout."""
    torch.manual_seed(3)
    x_ND = decoder.hidden(ids_BT, segments=torch.arange(40)[None] // 9 + 0 * ids_BT).flatten(0, 1)
    loss = summed_nats(decoder.head, x_ND, ids_BT.roll(-1, 1).flatten())
    loss.backward()
    return [loss.detach(), *(each.grad for each in decoder.parameters() if each.grad is not None)]


def seen(decoder: Decoder) -> list[torch.Tensor]:
    """Logits without gradients: of whole rows, and of one token after a cache."""
    with torch.no_grad():
        cache = KVCache(decoder.config, 1, 40, "cpu", decoder.dtype)
        steps = [decoder(ids_BT), decoder.logits(decoder.hidden(ids_BT[:1, :7], cache=cache.rows([0], [7])))]
        return [*steps, decoder.logits(decoder.hidden(ids_BT[:1, 7:8], cache=cache.rows([0], [1])))]


@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(
    ("family", "stored"), [*((family, torch.bfloat16) for family in FAMILIES), ("qwen3", torch.float16)], ids=str
)
def test_a_step_and_what_is_seen_are_those_of_an_fp32_base(folder_of, family, stored, products):
    folder = folder_of(family, stored)
    frozen, whole = (with_adapter(read_decoder(folder, dtype=dtype), products) for dtype in (None, torch.float32))
    for found, expected in zip(learned(frozen), learned(whole), strict=True):
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)
    for found, expected in zip(seen(frozen), seen(whole), strict=True):
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)
    lora.use(frozen, None)
    lora.use(whole, None)
    assert torch.equal(seen(frozen)[0], seen(whole)[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_only_matrices_stay_in_16_bits_and_none_of_them_learns(folder_of, family):
    decoder = read_decoder(folder_of(family), dtype=None)
    for name, parameter in decoder.named_parameters():
        assert parameter.dtype == (torch.bfloat16 if parameter.ndim == 2 else torch.float32), name
        assert parameter.requires_grad == (parameter.ndim == 1)
    assert (decoder.head.weight is decoder.embedding.weight) is decoder.config.tied
    assert decoder.dtype == decoder.head.dtype == torch.float32
    assert decoder.device == torch.device("cpu")
    assert read_decoder(folder_of(family), dtype=torch.bfloat16).dtype == torch.bfloat16


def test_a_base_in_fp32_is_as_always(pair_of):
    decoder = read_decoder(pair_of("qwen3").folder, dtype=None)
    assert type(decoder.embedding) is Embedding and type(decoder.head) is Linear
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in decoder.parameters())
    assert torch.equal(seen(decoder)[0], seen(read_decoder(pair_of("qwen3").folder))[0])


def test_only_what_learns_gets_memory_of_its_own(folder_of):
    decoder = read_decoder(folder_of("qwen3"), dtype=None)
    decoder.requires_grad_(False)
    decoder.norm.requires_grad_(True)
    before = {name: parameter.data_ptr() for name, parameter in decoder.named_parameters()}
    own_learning_memory(decoder)
    moved = {name for name, parameter in decoder.named_parameters() if parameter.data_ptr() != before[name]}
    assert moved == {"norm.weight"}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_frozen_base_is_in_memory_once(tmp_path):
    """As pages of its file, mapped once, without a copy."""
    config = replace(PRESETS["nano"], vocab_size=100_000)
    write_decoder(new_decoder(config, 0, torch.device("cpu")), tmp_path, torch.bfloat16)
    stored = (tmp_path / "model.safetensors").stat().st_size
    before = held_memory()
    decoder = open_frozen(tmp_path, config, torch.device("cpu"))
    multiply_in(decoder, torch.bfloat16)
    own_learning_memory(decoder)
    grown = {name: number - before[name] for name, number in held_memory().items()}
    assert 0.9 * stored < grown["RssFile"] < 1.2 * stored
    assert grown["RssAnon"] < 0.2 * stored


def held_memory() -> dict[str, int]:
    """What of this process is in memory, in bytes: RssAnon is its own, RssFile pages of mapped files."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return {name: 1024 * int(kilobytes) for name, kilobytes in re.findall(r"^(RssAnon|RssFile):\s+(\d+) kB$", status, re.M)}


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float32], ids=["stored bf16", "stored fp32"])
@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_no_cast_of_a_frozen_matrix_waits_for_the_backward_pass(products, stored):
    """For a matrix of 4 MB autograd keeps the matrix itself and no other tensor of its size."""
    linear = Linear(1024, 1024)
    linear.weight = torch.nn.Parameter(torch.randn(1024, 1024).to(stored), requires_grad=False)
    mixed, kept = MixedLinear(linear, products), []
    x = torch.randn(3, 1024, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        y = mixed(x)
    large = [tensor for tensor in kept if tensor.numel() == 1024 * 1024]
    assert [tensor.data_ptr() for tensor in large] == [linear.weight.data_ptr()]
    y.float().sum().backward()
    expected = torch.ones(3, 1024, dtype=products) @ linear.weight.to(products)
    assert torch.equal(x.grad, expected.float())


@pytest.mark.parametrize("by_sums", [True, False])
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("bias", [True, False])
def test_one_row_by_a_large_matrix(monkeypatch, stored, by_sums, bias):
    """With the way around a slow product too, whose pieces do not divide this matrix evenly."""
    monkeypatch.setattr(cpu_kernels, "ONE_ROW_BY_SUMS", by_sums)
    random = torch.Generator().manual_seed(0)
    linear, whole = Linear(513, 5000, bias), Linear(513, 5000, bias)
    matrix = torch.randn(5000, 513, generator=random).to(stored)
    for layer, held in ((linear, matrix), (whole, matrix.float())):
        layer.weight = torch.nn.Parameter(held, requires_grad=False)
        if bias:
            layer.bias.data.fill_(0.1)
    x = torch.randn(1, 1, 513, generator=random)
    with torch.no_grad():
        assert torch.equal(MixedLinear(linear, torch.float32)(x), whole(x))


def test_a_merged_base_keeps_its_16_bits(folder_of, tmp_path):
    decoder = with_adapter(read_decoder(folder_of("qwen3"), dtype=None), torch.float32)
    before = seen(decoder)[0]
    lora.merge(decoder)
    assert decoder.head.weight is decoder.embedding.weight
    assert {each.dtype for each in decoder.parameters() if each.ndim == 2} == {torch.bfloat16}
    assert 0 < (seen(decoder)[0] - before).std() < 0.05 * before.std()
    write_decoder(decoder, tmp_path, torch.bfloat16)
    assert torch.equal(seen(read_decoder(tmp_path, dtype=None))[0], seen(decoder)[0])


def test_what_is_written_is_what_was_read(folder_of, tmp_path):
    write_decoder(read_decoder(folder_of("gpt2"), dtype=None), tmp_path, torch.bfloat16)
    assert hash_model(tmp_path) == hash_model(folder_of("gpt2"))


@pytest.mark.parametrize("family", ["qwen3", "mistral"])
def test_more_tokens(folder_of, family):
    frozen, whole = (read_decoder(folder_of(family), dtype=dtype) for dtype in (None, torch.float32))
    for decoder in (frozen, whole):
        decoder.extend_vocabulary(VOCABULARY)
        assert len(decoder.embedding.weight) == VOCABULARY
        decoder.extend_vocabulary(VOCABULARY + 2)
        decoder.copy_token(5, [VOCABULARY + 1])
    assert not frozen.embedding.weight.requires_grad and whole.embedding.weight.requires_grad
    assert frozen(ids_BT).shape[-1] == VOCABULARY + 2
    assert torch.equal(frozen.embedding.dense()[:VOCABULARY], whole.embedding.dense()[:VOCABULARY])
    mean = whole.embedding.dense()[:VOCABULARY].mean(0)
    assert torch.equal(frozen.embedding.dense()[VOCABULARY], mean.bfloat16().float())
    assert torch.equal(frozen.embedding.dense()[VOCABULARY + 1], frozen.embedding.dense()[5])


def test_rows_of_a_table_in_16_bits_are_read_as_fp32(folder_of):
    decoder = read_decoder(folder_of("gpt2"), dtype=None)
    x = decoder.embedding(ids_BT)
    assert x.dtype == torch.float32
    assert torch.equal(x, F.embedding(ids_BT, decoder.embedding.weight.float()))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_large_model_is_shown_with_the_products_of_its_training(folder_of, monkeypatch, family):
    exact = with_adapter(read_decoder(folder_of(family), dtype=None), torch.bfloat16)
    monkeypatch.setattr("liuli.learn.prepare.model.is_large", lambda config: True)
    fast = with_adapter(read_decoder(folder_of(family), dtype=None), torch.bfloat16)
    for found, expected in zip(seen(fast), seen(exact), strict=True):
        assert found.dtype == torch.float32
        assert 0 < (found - expected).std() < 0.05 * expected.std()
    for found, expected in zip(learned(fast), learned(exact), strict=True):
        assert torch.equal(found, expected)
