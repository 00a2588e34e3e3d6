"""Small random models of every family, made by `transformers`, the oracle for the decoder."""

from pathlib import Path

import torch
import transformers
from transformers import Gemma3TextConfig, GPT2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

VOCABULARY = 99
SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-2,
}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "original_max_position_embeddings": 16}
WINDOW = {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1}
DEFAULT = {"rope_type": "default", "rope_theta": 500.0}
GEMMA = {
    "head_dim": 16, "sliding_window": 7, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "query_pre_attn_scalar": 20,
}  # fmt: skip
LOCAL = {"rope_type": "default", "rope_theta": 90.0}
STRETCHED = {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}

FAMILIES = {
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_positions=64, n_embd=32, n_layer=3, n_head=4, layer_norm_epsilon=1e-2),
    "llama2": LlamaConfig(**SHAPE | {"num_key_value_heads": 4}, rope_parameters=DEFAULT),
    "llama3": LlamaConfig(**SHAPE, rope_parameters=LLAMA3 | {"original_max_position_embeddings": 32}, tie_word_embeddings=True),
    "llama-linear": LlamaConfig(**SHAPE, rope_parameters={"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}),
    "llama-biases": LlamaConfig(**SHAPE, rope_parameters=DEFAULT, attention_bias=True, mlp_bias=True),
    "mistral": MistralConfig(**SHAPE, rope_parameters=DEFAULT, sliding_window=7, head_dim=16),
    "qwen2": Qwen2Config(**SHAPE, rope_parameters=DEFAULT),
    "qwen2-window": Qwen2Config(**SHAPE, rope_parameters=DEFAULT, **WINDOW),
    "qwen3": Qwen3Config(**SHAPE, rope_parameters=DEFAULT, head_dim=16, tie_word_embeddings=True),
    "qwen3-yarn": Qwen3Config(**SHAPE, rope_parameters=YARN, head_dim=16),
    "gemma3": Gemma3TextConfig(
        **SHAPE | GEMMA, rope_parameters={"full_attention": DEFAULT, "sliding_attention": LOCAL}, pad_token_id=None
    ),
    "gemma3-linear": Gemma3TextConfig(
        **SHAPE | GEMMA,
        rope_parameters={"full_attention": STRETCHED, "sliding_attention": LOCAL},
        pad_token_id=None,
        tie_word_embeddings=False,
        attention_bias=True,
    ),
}


def oracle(name: str, **changes) -> transformers.PreTrainedModel:
    """A random model whose logits have a standard deviation above 1, with a large epsilon and a small theta: at the
    usual values a wrong model passes too."""
    config = FAMILIES[name]
    if changes:
        config = type(config)(**{**config.to_dict(), **changes})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)
            else:
                parameter.normal_(1.0 if "weight" in key else 0.0, 0.3)
    return model


def save(name: str, folder: Path, **kinds) -> transformers.PreTrainedModel:
    """Saves the random model of a family to `folder` and returns it."""
    model = oracle(name)
    model.save_pretrained(folder, **kinds)
    return model
