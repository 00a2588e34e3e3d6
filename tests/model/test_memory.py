"""What a training run is expected to take, against what autograd keeps and what PyTorch's allocator is asked for."""

from dataclasses import replace

import pytest
import torch
from helpers.memory import peak_bytes

from liuli.evaluate import loss
from liuli.learn.prepare.model import multiply_in
from liuli.model import attention, logprobs, memory
from liuli.model.adapters import lora
from liuli.model.config import PRESETS
from liuli.model.decoder import Decoder
from liuli.model.formats.hugging_face import filled
from liuli.model.logprobs import summed_nats
from liuli.model.memory import Workload, lora_parameters, saved_bytes, training_memory

VOCABULARY, LAYERS = 1000, 3
DTYPES = {16: torch.bfloat16, 32: torch.float32}
RUNS = [
    ("qwen2.5-0.5b", 16, 8, 2, 64),
    ("qwen2.5-0.5b", 32, 8, 2, 64),
    ("qwen2.5-0.5b", 16, None, 2, 64),
    ("gemma3-270m", 16, None, 2, 64),
    ("gemma3-270m", 16, 8, 1, 600),  # long rows: attention is in fp32 and keeps no scores
    ("gemma3-270m", 32, None, 1, 600),
    ("nano", 32, None, 2, 100),
    ("nano", 16, None, 4, 100),
    ("gpt2", 16, None, 2, 64),
    ("gpt2", 32, 4, 2, 64),
]
STEPS = [  # name, bits of multiplications, LoRA's rank, bytes of a number of its base, rows, length, vocabulary
    *((*kind, 4, 128, vocabulary) for vocabulary in (VOCABULARY, 50_000) for kind in (
        ("nano", 32, None, 4),
        ("gpt2", 16, 8, 4),
        ("qwen2.5-0.5b", 16, None, 4),
        ("qwen2.5-0.5b", 16, 8, 2),  # as `liuli finetune --lora` trains a model that is stored in 16 bits
    )),
    ("qwen2.5-0.5b", 16, 8, 2, 1, 512, VOCABULARY),
    *((name, bits, rank, 4 if rank is None else 2, rows, length, VOCABULARY) for name, bits, rank, rows, length in RUNS),
]  # fmt: skip


def made(name, bits, rank, recompute=False, base=4, vocabulary=VOCABULARY):
    """A decoder ready to train. `base`: bytes of a number of the matrices below an adapter."""
    shape = PRESETS[name]
    config = replace(shape, layers=LAYERS, windows=shape.windows[:LAYERS], vocab_size=vocabulary)
    decoder, random = Decoder(config), torch.Generator().manual_seed(0)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.02, random)
    if base == 2:
        decoder = frozen_in_16_bits(decoder)
    if rank is not None:
        lora.add(decoder, lora.LoRASettings(rank, tokens=(3, 5) if base == 2 else ()), seed=0)
    multiply_in(decoder, DTYPES[bits])
    decoder.recompute = recompute
    return decoder


def frozen_in_16_bits(decoder):
    """The same decoder as it is read from a file in bf16 for an adapter."""
    with torch.device("meta"):
        empty = Decoder(decoder.config)
    stored = {name: each.detach() for name, each in decoder.named_parameters()}
    return filled(empty, {name: each.bfloat16() if each.ndim == 2 else each for name, each in stored.items()}, None)


def batch(rows, length):
    """Rows of several documents each, as a run packs them."""
    ids_BT = torch.randint(0, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(1))
    return ids_BT, (torch.arange(length) // 20).expand(rows, length)


def load_of(bits, rank, rows, length, recompute=False, base=4):
    return Workload(length, rows, rows, bits, lora=rank, base=base, recompute=recompute)


def kept(decoder, ids_BT, segments_BT):
    """Bytes of all tensors that autograd keeps in a forward pass, and of its result; each memory counts once, weights not."""
    sizes, tensors = {}, []
    own = {each.untyped_storage().data_ptr() for each in [*decoder.parameters(), *decoder.buffers()]}

    def keep(tensor):
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in own:
            sizes[memory.data_ptr()] = memory.nbytes()
            tensors.append(tensor)  # so that no memory is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        x_BTD = decoder.hidden(ids_BT, None, segments_BT)
    return sum(sizes.values()) + 4 * x_BTD.numel()


@pytest.mark.parametrize(("name", "bits", "rank", "rows", "length"), RUNS)
def test_activations_are_what_autograd_keeps(name, bits, rank, rows, length):
    decoder = made(name, bits, rank)
    measured = kept(decoder, *batch(rows, length))
    assert saved_bytes(decoder.config, load_of(bits, rank, rows, length)) == pytest.approx(measured, rel=0.04)


def learn(decoder, ids_BT, segments_BT):
    targets_N = ids_BT.roll(-1, 1).flatten()
    # As in the training loop, nobody holds the final norm's output in the backward pass.
    loss = summed_nats(decoder.head, decoder.hidden(ids_BT, None, segments_BT).flatten(0, 1), targets_N)
    loss.backward()
    return loss.detach()


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("name", "bits", "rank", "base", "rows", "length", "vocabulary"), STEPS)
def test_a_step_takes_what_is_expected(monkeypatch, name, bits, rank, base, rows, length, vocabulary, recompute):
    """Gradients, activations and what is worked with, at their largest. A validation reads 4,096 tokens, and is left out."""
    monkeypatch.setattr(memory, "_validation_bytes", lambda config, load: 0.0)
    decoder = made(name, bits, rank, recompute, base, vocabulary)
    given = batch(rows, length)
    measured = peak_bytes(lambda: learn(decoder, *given))
    found = training_memory(decoder.config, load_of(bits, rank, rows, length, recompute, base))
    expected = found.gradients + found.activations + found.working
    assert expected == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("name", ["nano", "qwen2.5-0.5b", "gpt2", "gemma3-270m"])
def test_the_numbers_of_an_adapter(name):
    decoder = made(name, 32, 8)
    learned = sum(parameter.numel() for parameter in decoder.parameters() if parameter.requires_grad)
    assert lora_parameters(decoder.config, 8) == learned


@pytest.mark.parametrize(("name", "bits", "rank", "rows", "length"), RUNS)
def test_layers_that_are_computed_again_have_the_same_gradients(name, bits, rank, rows, length):
    """To the bit, and with much less kept."""
    plain, again = made(name, bits, rank), made(name, bits, rank, recompute=True)
    given = batch(rows, length)
    assert torch.equal(learn(plain, *given), learn(again, *given))
    learned = [(one, other) for one, other in zip(plain.parameters(), again.parameters(), strict=True) if one.requires_grad]
    assert learned and all(torch.equal(one.grad, other.grad) for one, other in learned)
    assert kept(again, *given) < 0.5 * kept(plain, *given)


def test_dropout_is_the_same_when_a_layer_is_computed_again():
    decoder, given = made("nano", 32, None), batch(2, 64)
    lora.add(decoder, lora.LoRASettings(4, dropout=0.5), seed=0)
    found = []
    for recompute in (False, True):
        decoder.recompute = recompute
        decoder.zero_grad()
        torch.manual_seed(3)
        learn(decoder, *given)
        found.append([each.grad for each in decoder.parameters() if each.requires_grad])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_what_takes_less():
    config = PRESETS["qwen2.5-0.5b"]
    long = Workload(512, 4, 2, 16)
    total = training_memory(config, long).total
    for less in (
        replace(long, recompute=True),
        replace(long, length=256),
        replace(long, rows=1, rows_at_once=1),
        replace(long, lora=8),
        replace(long, on_cpu=False),
    ):
        assert training_memory(config, less).total < total
    muon = replace(long, muon=True)
    assert training_memory(config, muon).optimizer < training_memory(config, long).optimizer


def test_the_constants_of_the_formulas_are_those_of_the_code():
    assert memory.SHORT == attention.SHORT
    assert memory.VALIDATED_AT_ONCE == loss.TOKENS_AT_ONCE
    ours = memory.LOGITS_AT_ONCE, memory.LEAST_TOKENS, memory.ON_A_GPU
    assert ours == (logprobs.LOGITS_AT_ONCE, logprobs.LEAST_TOKENS, logprobs.ON_A_GPU)
