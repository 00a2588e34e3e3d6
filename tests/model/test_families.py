"""From config.json to a Config and back, in the spellings that folders have."""

from dataclasses import replace

import pytest
import torch
from helpers import families
from transformers import Gemma3TextConfig

from liuli.errors import LiuliError
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.rates import Rates
from liuli.model.config import PRESETS
from liuli.model.decoder import Decoder
from liuli.model.formats.families import config_from, config_to
from liuli.model.start import start

# As the folder of Gemma 3 270M has it.
GEMMA_270M = {
    "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "_sliding_window_pattern": 6,
    "attention_bias": False, "attention_dropout": 0.0, "attn_logit_softcapping": None, "final_logit_softcapping": None,
    "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 640, "intermediate_size": 2048,
    "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 3, "max_position_embeddings": 32768,
    "num_attention_heads": 4, "num_hidden_layers": 18, "num_key_value_heads": 1, "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000.0, "rope_scaling": None, "rope_theta": 1000000.0,
    "sliding_window": 512, "torch_dtype": "bfloat16", "use_bidirectional_attention": False, "vocab_size": 262144,
}  # fmt: skip


def test_gemmas_folder_is_the_preset():
    assert config_from(GEMMA_270M, "config.json") == PRESETS["gemma3-270m"]


def test_gemmas_layers_without_a_list_of_types_and_with_defaults():
    left_out = (
        "layer_types", "head_dim", "hidden_activation", "query_pre_attn_scalar", "rope_local_base_freq", "rope_theta",
        "rope_scaling", "rms_norm_eps",
    )  # fmt: skip
    bare = {name: value for name, value in GEMMA_270M.items() if name not in left_out}
    assert config_from(bare, "config.json") == PRESETS["gemma3-270m"]


def test_what_transformers_writes_and_reads_of_gemma_is_the_same():
    theirs = families.FAMILIES["gemma3-linear"]
    ours = config_from(theirs.to_dict(), "config.json")
    assert ours.context == theirs.max_position_embeddings
    again = Gemma3TextConfig(**config_to(ours))
    for name in ("rope_parameters", "layer_types", "sliding_window", "query_pre_attn_scalar", "hidden_activation", "head_dim"):
        assert getattr(again, name) == getattr(theirs, name), name
    assert config_from(again.to_dict(), "config.json") == ours


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping = 30.0 is not supported"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping = 50.0 is not supported"),
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention = True is not supported"),
        ({"sliding_window": None}, "sliding_window is null, but some layers have sliding attention"),
        ({"layer_types": ["chunked_attention"] * 18}, "attention layers of type chunked_attention are not supported"),
        (
            {"rope_parameters": {"rope_type": "default"}},
            "full_attention and sliding_attention, not rope_type: put",
        ),
        (
            {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 8.0}}},
            "'linear' in layers with sliding attention is not supported",
        ),
        ({"rope_parameters": {"full_attention": 3}}, "config.json has an invalid value"),
        ({"rope_local_base_freq": -1}, "rope_local_base_freq must be a number above 0"),
        ({"query_pre_attn_scalar": 0}, "query_pre_attn_scalar must be a number above 0"),
        ({"sliding_window_pattern": 0, "layer_types": None}, "config.json has an invalid value"),
        ({"model_type": "gemma3"}, "'gemma3' is not supported; supported: .*gemma3_text"),
    ],
)
def test_settings_of_gemma_that_cannot_be_followed(change, message):
    with pytest.raises(LiuliError, match=message):
        config_from(GEMMA_270M | change, "config.json")


def test_mistral_has_no_biases():
    raw = families.FAMILIES["mistral"].to_dict()
    with pytest.raises(LiuliError, match="attention_bias = True is not supported"):
        config_from(raw | {"attention_bias": True}, "config.json")


def test_gemma_begins_as_nothing_and_learns():
    """Norms after attention and feed-forward would make full-sized outputs of any; they begin at 0."""
    config = config_from(families.FAMILIES["gemma3"].to_dict(), "config.json")
    decoder = Decoder(replace(config, windows=(7, None, 7)))
    start(decoder, 0)
    ids = torch.randint(0, families.VOCABULARY, (4, 8), generator=torch.Generator().manual_seed(0)).repeat(1, 3)
    seen = {}
    decoder.hidden(ids, tap=lambda name, x: seen.setdefault(name, x))
    assert torch.equal(seen["blocks.2.residual_in"], seen["embedding"])
    assert 0.05 < seen["embedding"].std() < 0.2
    optimizer, losses = MuonAdamW(decoder, Rates(0.018, 0.05, 0.005, 0.0, 0.8)), []
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(decoder(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step(1.0)
        optimizer.forget_gradients()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
