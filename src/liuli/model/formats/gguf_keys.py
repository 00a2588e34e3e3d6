"""Converts a `Config` to the metadata of a GGUF file, the inverse of `gguf_settings.py`.

In: a `Config`. Out: keys and values. A model that llama.cpp would compute differently is refused, so that a written file is the
same model in llama.cpp.
"""

import math
from typing import Any

import torch

from liuli.errors import LiuliError
from liuli.model.config import Config
from liuli.model.formats.families import config_to
from liuli.model.formats.gguf_names import ARCHITECTURE_OF, ATTENTION_FACTOR_KEY, SCALING_KEYS, WINDOW_KEY, keys_of
from liuli.model.formats.gguf_settings import GEMMA_27B, GEMMA_PATTERN, HEAD_WIDTHS, LLAMA3_BOUNDS
from liuli.model.rotary import frequencies

FLOATS = ("epsilon", "freq_base", "factor", "beta_fast", "beta_slow")  # the keys of fp32 numbers end with one of these
GEMMA_BASE = 10_000.0  # the rotary base of layers with a window; llama.cpp does not read it from a file
BIASED = ("gpt2", "llama", "mistral", "qwen2")  # families whose biases llama.cpp reads


def metadata_of(config: Config) -> dict[str, Any]:
    """Returns the metadata that describe a model's shape, in the order of llama.cpp's converter.

    Raises:
        LiuliError: llama.cpp does not support something in this model.
    """
    _check(config)
    architecture, raw = ARCHITECTURE_OF[config.family], config_to(config)
    found: dict[str, Any] = {"vocab_size": config.vocab_size}
    found |= {key: raw[theirs] for key, theirs in keys_of(config.family).items()}
    if config.rotary:
        found |= dict.fromkeys(HEAD_WIDTHS, config.head_width)
    if any(config.windows):
        found[WINDOW_KEY] = max(window for window in config.windows if window is not None)
    if config.rope_scaling is not None and config.rope_scaling.kind != "llama3":
        scaling = raw["rope_scaling"]
        found |= {key: scaling[theirs] for key, theirs in SCALING_KEYS.items() if theirs in scaling}
        if config.rope_scaling.kind == "yarn":
            grown = 0.1 * math.log(max(config.rope_scaling.factor, 1.0)) + 1.0  # llama.cpp multiplies by this factor itself
            found[ATTENTION_FACTOR_KEY] = config.rope_scaling.attention_factor / grown
    typed = {key: float(value) if key.endswith(FLOATS) else value for key, value in found.items()}
    return {"general.architecture": architecture} | {f"{architecture}.{key}": value for key, value in typed.items()}


def frequency_divisors(config: Config) -> torch.Tensor | None:
    """Returns the divisor of each pair's frequency, (head width / 2) fp32, as GGUF stores llama3's scaling; None for a model
    without this scaling."""
    scaling = config.rope_scaling
    if scaling is None or scaling.kind != "llama3":
        return None
    plain, stretched = (frequencies(config.head_width, config.rope_theta, each) for each in (None, scaling))
    return plain / stretched


def _check(config: Config) -> None:
    """Raises LiuliError if llama.cpp would compute this model differently."""
    scaling, gemma = config.rope_scaling, config.family == "gemma3_text"
    usual = "silu" if config.gated and not gemma else "gelu_tanh"
    slides, biased = any(config.windows), config.qkv_bias or config.output_bias
    cannot = {
        f"the activation {config.activation} in a {config.family} model": config.activation != usual,
        f"an attention window in a {config.family} model": slides and not gemma and config.family != "mistral",
        f"biases in a {config.family} model": biased and config.family not in BIASED,
        "YaRN without rounded bounds (truncate = false)": scaling is not None and not scaling.truncate,
        "frequency bounds other than Llama 3's": scaling is not None
        and scaling.kind == "llama3"
        and (scaling.low_frequency, scaling.high_frequency) != LLAMA3_BOUNDS,
    }
    cannot |= _gemmas(config) if gemma else {}
    for what, present in cannot.items():
        if present:
            raise LiuliError(
                f"llama.cpp does not support {what}, so this model cannot be converted to GGUF; use the model as a folder "
                f"(with Liuli, transformers or vLLM)"
            )


def _gemmas(config: Config) -> dict[str, bool]:
    """Returns settings that llama.cpp does not support in Gemma, and whether this model has them."""
    full = [window is None for window in config.windows]
    sixth = [(layer + 1) % GEMMA_PATTERN == 0 for layer in range(config.layers)]
    scalar = config.width // config.heads if config.layers == GEMMA_27B else config.head_width
    return {
        "a layer pattern in Gemma other than five sliding-window layers and one full-attention layer": any(config.windows)
        and full != sixth,
        f"a rotary base of {config.sliding_rope_theta} in Gemma's sliding-window layers": any(config.windows)
        and config.sliding_rope_theta != GEMMA_BASE,
        f"attention scores divided by √{config.query_pre_attn_scalar} in Gemma": config.query_pre_attn_scalar != scalar,
    }
