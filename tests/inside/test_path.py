"""The stages of one pass: their sizes from hooks in `transformers`, their costs by hand."""

import pytest
import torch
from helpers.oracles import TEXT

from liuli.inside.path import path
from liuli.inside.views import VIEWS
from liuli.model.config import Config


def mean_length(x: torch.Tensor) -> float:
    return x.reshape(-1, x.shape[-1]).norm(dim=-1).mean().item()


def test_the_sizes_of_all_outputs(oracle):
    view = path(oracle.model, TEXT)
    ids = list(view.input.ids)
    found = oracle.outputs(ids)
    attention, feed_forward = oracle.attention_outputs(), oracle.feed_forward_outputs()
    with oracle.recording(attention) as attended:
        oracle.logits(ids)
    with oracle.recording(feed_forward) as fed:
        oracle.logits(ids)
    stages = {(stage.name, stage.layer): stage for stage in view.stages}
    assert view.ok and len(stages) == len(view.stages) == 6 + 2 * len(oracle.blocks)
    assert stages["embedding", None].size == pytest.approx(mean_length(found.residuals[0]), rel=1e-4)
    for layer in range(len(oracle.blocks)):
        one, other = stages["attention", layer], stages["feed-forward", layer]
        assert one.size == pytest.approx(mean_length(attended[layer]), rel=1e-4)
        assert other.size == pytest.approx(mean_length(fed[layer]), rel=1e-4)
        middle = found.residuals[layer] + attended[layer].view_as(found.residuals[layer])
        assert one.residual == pytest.approx(mean_length(middle), rel=1e-4)
        assert other.residual == pytest.approx(mean_length(found.residuals[layer + 1]), rel=1e-4)
    logprobs = found.logits[-1].log_softmax(-1)
    assert view.chosen.id == logprobs.argmax()
    assert view.probability == pytest.approx(logprobs.max().exp().item(), abs=1e-5)


def test_every_parameter_is_in_a_stage(oracle):
    view, config = path(oracle.model, TEXT), oracle.model.config
    head = config.vocab_size * config.width
    assert sum(stage.parameters for stage in view.stages) - (head if config.tied else 0) == view.model.parameters
    assert view.model.parameters == sum(parameter.numel() for parameter in oracle.hf.parameters())


def test_costs_by_hand(all_oracles):
    """6 tokens, width 32, 4 heads and 2 key/value heads of 8, feed-forward 48, 270 ids."""
    view = path(all_oracles["llama3"].model, "the cat")
    assert len(view.input.ids) == 6
    stages = {(stage.name, stage.layer): stage for stage in view.stages}
    matrices = 32 * 32 + 32 * 16 + 32 * 16 + 32 * 32  # q, k, v, out
    products = 2 * 2 * 4 * 8 * (1 + 2 + 3 + 4 + 5 + 6)  # scores, and the sums of values
    assert stages["attention", 0].flops == 2 * 6 * matrices + products
    assert stages["attention", 0].parameters == matrices + 32
    assert stages["feed-forward", 2].flops == 2 * 6 * 3 * 32 * 48
    assert stages["logits", None].flops == 2 * 270 * 32
    assert view.flops == sum(stage.flops for stage in view.stages)
    assert stages["embedding", None].bytes == 6 * 32 * 4 and stages["embedding", None].shape == (6, 32)
    assert stages["logits", None].shape == (270,) and stages["logits", None].bytes == 270 * 4
    assert stages["text", None].bytes == 7 and stages["ids", None].bytes == 6 * 8


def test_a_window_saves_products(all_oracles):
    view = path(all_oracles["gemma3"].model, TEXT)
    costs = [stage.flops for stage in view.stages if stage.name == "attention"]
    tokens, config = len(view.input.ids), all_oracles["gemma3"].model.config
    saved = sum(max(0, t - 7) for t in range(1, tokens + 1))
    assert costs[1] - costs[0] == 4 * config.heads * config.head_width * saved > 0
    assert isinstance(config, Config) and config.window(1) is None


def test_flops_against_pytorch_s_counter(all_oracles):
    """Of the matrices; its count of attention's products is of whole squares."""
    from torch.utils.flop_counter import FlopCounterMode

    for name in ("gpt2", "llama3", "qwen3", "gemma3"):
        oracle = all_oracles[name]
        view, config = path(oracle.model, TEXT), oracle.model.config
        tokens = len(view.input.ids)
        with FlopCounterMode(display=False) as counter:
            oracle.logits(list(view.input.ids))
        squares = 4 * config.heads * config.head_width * tokens**2 * config.layers
        ours = sum(4 * config.heads * config.head_width * min(t, config.window(layer) or t)
                   for layer in range(config.layers) for t in range(1, tokens + 1))  # fmt: skip
        heads = 2 * config.vocab_size * config.width * (tokens - 1)  # of the tokens whose logits are not used
        rotary = counter.get_total_flops() - (view.flops - ours + squares + heads)
        assert 0 <= rotary < 0.01 * view.flops


def test_the_views_that_it_names_exist(tiny):
    named = {view for stage in path(tiny, "the cat").stages for view in stage.views}
    assert named <= VIEWS.keys() and "candidates" in named


def test_one_token_and_16_bits(tiny, tiny_folder):
    from liuli import load

    assert path(tiny, "").ok
    view = path(load(tiny_folder, dtype="bf16"), "the cat")
    assert view.ok and view.checks[0].value == 0
    assert next(stage for stage in view.stages if stage.name == "embedding").dtype == "bfloat16"
