"""From a `Config` to the metadata of a GGUF file: the way back of `gguf_settings.py`.

In: a `Config`. Out: keys and values. What llama.cpp would compute in another way is refused, so that a file that is written is
the same model there.
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

FLOATS = ("epsilon", "freq_base", "factor", "beta_fast", "beta_slow")  # what the key of a number in fp32 ends with
GEMMA_BASE = 10_000.0  # of the positions in layers with a window, which llama.cpp does not read from a file
BIASED = ("gpt2", "llama", "mistral", "qwen2")  # families whose biases llama.cpp reads


def metadata_of(config: Config) -> dict[str, Any]:
    """The metadata that says a model's shape, in the order of llama.cpp's converter.

    Raises:
        LiuliError: llama.cpp has no way to say, or to compute, something of this model.
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
            grown = 0.1 * math.log(max(config.rope_scaling.factor, 1.0)) + 1.0  # which llama.cpp multiplies by itself
            found[ATTENTION_FACTOR_KEY] = config.rope_scaling.attention_factor / grown
    typed = {key: float(value) if key.endswith(FLOATS) else value for key, value in found.items()}
    return {"general.architecture": architecture} | {f"{architecture}.{key}": value for key, value in typed.items()}


def frequency_divisors(config: Config) -> torch.Tensor | None:
    """What each pair's frequency is divided by, (head width / 2) fp32, which is how GGUF holds llama3's scaling; None if there
    is no such."""
    scaling = config.rope_scaling
    if scaling is None or scaling.kind != "llama3":
        return None
    plain, stretched = (frequencies(config.head_width, config.rope_theta, each) for each in (None, scaling))
    return plain / stretched


def _check(config: Config) -> None:
    """Raises LiuliError if llama.cpp would compute this model in another way."""
    scaling, gemma = config.rope_scaling, config.family == "gemma3_text"
    usual = "silu" if config.gated and not gemma else "gelu_tanh"
    slides, biased = any(config.windows), config.qkv_bias or config.output_bias
    cannot = {
        f"the activation {config.activation} in a {config.family} decoder": config.activation != usual,
        f"an attention window in a {config.family} decoder": slides and not gemma and config.family != "mistral",
        f"biases in a {config.family} decoder": biased and config.family not in BIASED,
        "YaRN without rounded bounds": scaling is not None and not scaling.truncate,
        "other frequency bounds than Llama 3's": scaling is not None
        and scaling.kind == "llama3"
        and (scaling.low_frequency, scaling.high_frequency) != LLAMA3_BOUNDS,
    }
    cannot |= _gemmas(config) if gemma else {}
    for what, present in cannot.items():
        if present:
            raise LiuliError(f"llama.cpp does not compute {what}: this model cannot be a GGUF file")


def _gemmas(config: Config) -> dict[str, bool]:
    """What llama.cpp takes for granted in Gemma, and whether this model has it in another way."""
    full = [window is None for window in config.windows]
    sixth = [(layer + 1) % GEMMA_PATTERN == 0 for layer in range(config.layers)]
    scalar = config.width // config.heads if config.layers == GEMMA_27B else config.head_width
    return {
        "a window in other layers of Gemma than five of six": any(config.windows) and full != sixth,
        f"a RoPE base of {config.sliding_rope_theta} in Gemma's layers with a window": any(config.windows)
        and config.sliding_rope_theta != GEMMA_BASE,
        f"attention scores of Gemma divided by √{config.query_pre_attn_scalar}": config.query_pre_attn_scalar != scalar,
    }
