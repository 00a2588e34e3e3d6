"""Plans against real modules on the meta device, and against what papers published."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from liuli.learn.step.average import Average
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.recipe import derive
from liuli.model.config import PRESETS
from liuli.model.decoder import Decoder
from liuli.model.plan import forward_flops, parameter_parts, plan


def on_meta(config) -> Decoder:
    with torch.device("meta"):
        return Decoder(config)


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_are_the_real_modules_count(name):
    decoder = on_meta(PRESETS[name])
    assert sum(parameter_parts(PRESETS[name]).values()) == sum(p.numel() for p in decoder.parameters())


def test_parameters_are_the_real_modules_count_with_biases(pair):
    assert plan(pair.ours.config).parameters == sum(p.numel() for p in pair.ours.parameters())


PUBLISHED = {  # parameters as the papers and model cards print them
    "gpt2": "124 M", "gpt2-medium": "355 M", "gpt2-large": "774 M", "gpt2-xl": "1558 M", "gpt3-175b": "174.6 B",
    "llama2-7b": "6.74 B", "llama3-8b": "8.03 B", "llama3-70b": "70.6 B", "llama3.2-1b": "1.24 B",
    "mistral-7b": "7.24 B", "qwen2.5-0.5b": "0.49 B", "qwen3-0.6b": "0.6 B",
    "gemma3-270m": "0.27 B",
}  # fmt: skip


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_parameters_round_to_the_published_count(name, published):
    number, unit = published.split()
    digits = len(number.partition(".")[2])
    assert f"{plan(PRESETS[name]).parameters / {'M': 1e6, 'B': 1e9}[unit]:.{digits}f}" == number


@pytest.mark.parametrize("name", ["nano", "gpt2", "qwen2.5-0.5b", "gemma3-270m"])
def test_forward_flops_are_what_pytorch_counts(name):
    """PyTorch counts attention without regard to causality: each of T tokens to all T."""
    config, tokens = PRESETS[name], 128
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        on_meta(config)(torch.zeros(1, tokens, dtype=torch.int64, device="meta"))
    assert counter.get_total_flops() == tokens * forward_flops(config, tokens)


def test_a_window_bounds_the_flops():
    config = PRESETS["mistral-7b"]
    assert forward_flops(config, 20_000) == forward_flops(config, 4096)


def test_gpt3s_training_run():
    """Brown et al. 2020, table D.1: 3.14e23 FLOPs for 300 B tokens (it leaves attention out; we count it)."""
    found = plan(PRESETS["gpt3-175b"], tokens=300e9, accelerator="v100", utilisation=0.3)
    assert 3.14e23 < found.training_flops < 3.3e23
    assert found.gpu_hours == pytest.approx(found.training_flops / (125e12 * 0.3) / 3600)


def test_cache_bytes_are_the_real_caches():
    from liuli.model.cache import KVCache

    config = PRESETS["nano"]
    cache = KVCache(config, 1, config.context - 1, "meta", torch.bfloat16)  # a slot has one place more than its capacity
    assert plan(config).cache_bytes == cache.nbytes


@pytest.mark.parametrize("name", ["nano", "gpt2"])
def test_the_training_state_is_what_a_run_keeps(name):
    """The tensors of the optimizer and of the mean, and the weights with their gradients."""
    decoder = on_meta(PRESETS[name])
    rates = derive(PRESETS[name], [100], {}).rates
    with torch.device("meta"):
        muon = [held for key, held in MuonAdamW(decoder, rates).state().items() if key.startswith("momentum")]
    parameters = sum(parameter.numel() for parameter in decoder.parameters())
    matrices = sum(held.numel() for held in muon)
    assert matrices == sum(each.numel() for name, each in decoder.blocks.named_parameters() if each.ndim == 2)
    mean = sum(each.numel() for each in Average(decoder).weights().values())
    adam_moments = 2 * (parameters - matrices)
    assert plan(PRESETS[name]).training_state_bytes == 4 * (2 * parameters + mean + matrices + adam_moments)


def test_twenty_tokens_a_parameter_by_default():
    assert plan(PRESETS["nano"]).training_tokens == 20 * plan(PRESETS["nano"]).parameters
