"""Estimates a model's parameters, memory, FLOPs and training time from formulas, without weights and without PyTorch.

In: a `Config`. Out: a `Plan`. Symbols in comments: L layers, D width, H query heads, K key/value heads, d head width,
F feed-forward width, V vocabulary, C context.
Sources: Kaplan et al. 2020, https://arxiv.org/abs/2001.08361 (FLOPs); Korthikanti et al. 2022,
https://arxiv.org/abs/2205.05198 (activations); Hoffmann et al. 2022, https://arxiv.org/abs/2203.15556 (20 tokens per
parameter).
"""

from dataclasses import dataclass

from liuli.fields import Record
from liuli.model.config import Config

TOKENS_PER_PARAMETER = 20
LARGE = 50e6  # parameters
# Peak dense bf16 FLOP/s, from the manufacturers' data sheets.
ACCELERATORS = {"v100": 125e12, "a100": 312e12, "h100": 989e12, "h200": 989e12, "rtx4090": 165e12}


@dataclass(frozen=True, slots=True)
class Plan(Record):
    """Bytes are for the whole model; FLOPs are per token; `gpu_hours` are of `accelerator` at `utilisation` of its peak.

    Attributes:
        parameters: the number of parameters; those of a tied head are counted once.
        parts: the number of parameters of each part.
        weight_bytes: the size of the weights in each dtype.
        training_state_bytes: what `liuli train` keeps in fp32: weights, their mean over the last steps, gradients, Muon's
            momentum of the layers' matrices, and AdamW's two moments of the other parameters.
        activation_bytes_per_token: kept for the backward pass in bf16, without recomputation, at full context.
        cache_bytes_per_token: keys and values of one token in bf16.
        cache_bytes: keys and values of a full context in bf16.
        training_flops_per_token: forward and backward pass at full context.
        decoding_flops_per_token: forward pass with half of the context in the cache.
    """

    parameters: int
    parts: dict[str, int]
    weight_bytes: dict[str, int]
    training_state_bytes: int
    activation_bytes_per_token: int
    cache_bytes_per_token: int
    cache_bytes: int
    training_flops_per_token: float
    decoding_flops_per_token: float
    context: int
    training_tokens: float
    training_flops: float
    accelerator: str
    utilisation: float
    gpu_hours: float


def plan(config: Config, tokens: float | None = None, accelerator: str = "h100", utilisation: float = 0.4) -> Plan:
    """Returns the plan of a model.

    Args:
        tokens: the number of training tokens; default: 20 per parameter.
        accelerator: a name in `ACCELERATORS`.
        utilisation: the fraction of the accelerator's peak FLOP/s that training reaches.
    """
    parts = parameter_parts(config)
    parameters = sum(parts.values())
    tokens = float(parameters * TOKENS_PER_PARAMETER if tokens is None else tokens)
    training = 3 * forward_flops(config, config.context / 2)  # a token attends to half the context on average
    seconds = training * tokens / (ACCELERATORS[accelerator] * utilisation)
    cache_per_token = 2 * 2 * config.layers * config.kv_heads * config.head_width  # keys and values, 2 bytes each
    return Plan(
        parameters=parameters,
        parts=parts,
        weight_bytes={"fp32": 4 * parameters, "bf16": 2 * parameters, "int8": parameters, "int4": parameters // 2},
        training_state_bytes=20 * parameters - 4 * config.layers * layer_matrices(config),
        activation_bytes_per_token=activation_bytes(config),
        cache_bytes_per_token=cache_per_token,
        cache_bytes=cache_per_token * config.context,
        training_flops_per_token=training,
        decoding_flops_per_token=forward_flops(config, config.context / 2),
        context=config.context,
        training_tokens=tokens,
        training_flops=training * tokens,
        accelerator=accelerator,
        utilisation=utilisation,
        gpu_hours=seconds / 3600,
    )


def parameter_parts(config: Config) -> dict[str, int]:
    """Returns the exact number of parameters of each part of the decoder."""
    c, L, D, F = config, config.layers, config.width, config.feed_forward_width
    queries, keys = c.heads * c.head_width, c.kv_heads * c.head_width
    attention = D * (queries + 2 * keys) + queries * D  # q, k, v and out
    attention += (queries + 2 * keys) * c.qkv_bias + D * c.output_bias + 2 * c.head_width * c.qk_norm
    matrices = 3 if c.gated else 2
    feed_forward = matrices * D * F + ((matrices - 1) * F + D) * c.feed_forward_bias
    norm = D if c.rms_norm else 2 * D
    return {
        "embedding": c.vocab_size * D,
        "positions": 0 if c.rotary else c.context * D,
        "attention": L * attention,
        "feed_forward": L * feed_forward,
        "norms": ((4 if c.post_norms else 2) * L + 1) * norm,
        "head": 0 if c.tied else c.vocab_size * D,
    }


def layer_matrices(config: Config) -> int:
    """Returns the number of parameters in the matrices of one layer."""
    c = config
    return c.width * (2 * (c.heads + c.kv_heads) * c.head_width + (3 if c.gated else 2) * c.feed_forward_width)


def forward_flops(config: Config, attended: float) -> float:
    """Returns the FLOPs of one token's forward pass: 2 for each weight in a matrix multiplication, and 4·L·H·d for each token
    that is attended to (its scores, and the weighted sum of values)."""
    c = config
    attention = 2 * (c.heads + c.kv_heads) * c.head_width * c.width
    feed_forward = (3 if c.gated else 2) * c.width * c.feed_forward_width
    products = c.layers * (attention + feed_forward) + c.vocab_size * c.width
    seen = sum(min(attended, config.window(layer) or attended) for layer in range(config.layers))
    return 2 * products + 4 * config.heads * config.head_width * seen


def activation_bytes(config: Config) -> int:
    """Returns the bytes per token that are kept for the backward pass: `kept_bytes`, and the logits in fp32."""
    return kept_bytes(config) + 4 * config.vocab_size


def is_large(config: Config) -> bool:
    """Returns whether a model has more than 50 M parameters. Such a model is treated like a published one."""
    return sum(parameter_parts(config).values()) > LARGE


def kept_bytes(config: Config) -> int:
    """Returns the bytes per token that the layers keep for the backward pass in bf16. Attention weights are not kept (as in
    flash attention).

    Numbers per layer: both residuals and the outputs of both norms, 4·D; q, k, v and the heads' outputs, 2·H·d + 2·K·d; the
    inner tensors of the feed-forward, 4·F if it is gated, else 2·F; the inputs of the norms after attention and feed-forward,
    2·D, if the family has them. The final norm has 2·D.
    """
    c = config
    inner = (4 if c.gated else 2) * c.feed_forward_width
    layer = (6 if c.post_norms else 4) * c.width + 2 * (c.heads + c.kv_heads) * c.head_width + inner
    return 2 * (c.layers * layer + 2 * c.width)
