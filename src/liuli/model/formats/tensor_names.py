"""Hugging Face's names of the tensors in a checkpoint, for each family.

In: a `Config`. Out: for each stored tensor, the parameters of the decoder that it contains.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from liuli.model.config import Config
from liuli.model.formats.weight_files import without_wrappers

HEAD = "lm_head.weight"


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a checkpoint.

    Attributes:
        parts: the decoder's parameters that it contains, joined along the outputs.
        transposed: whether it is stored as (inputs, outputs).
    """

    parts: tuple[str, ...]
    transposed: bool = False


def tensor_names(config: Config) -> dict[str, StoredTensor]:
    """Returns every tensor of a complete checkpoint, by Hugging Face's name."""
    names: dict[str, StoredTensor] = {}
    for theirs, ours, bias in _layers(config):
        transposed = ".c_" in theirs  # GPT-2's projections, attn.c_attn to mlp.c_proj
        names[f"{theirs}.weight"] = StoredTensor(tuple(f"{part}.weight" for part in ours), transposed)
        if bias:
            names[f"{theirs}.bias"] = StoredTensor(tuple(f"{part}.bias" for part in ours))
    return names if config.tied else names | {HEAD: StoredTensor(("head.weight",))}


def block_modules(config: Config) -> dict[str, tuple[str, ...]]:
    """Returns the modules with weights in the blocks: for each of Hugging Face's modules, the decoder's modules that it
    contains. GPT-2's c_attn contains q, k and v."""
    return {theirs: tuple(ours) for theirs, ours, _ in _layers(config) if ours[0].startswith("blocks.")}


def table_names(config: Config) -> dict[str, str]:
    """Returns Hugging Face's names of the embedding and the head, by the decoder's names."""
    return {ours[0]: theirs for theirs, ours, _ in _layers(config) if ours == ["embedding"]} | {"head": "lm_head"}


def _layers(config: Config) -> Iterator[tuple[str, list[str], bool]]:
    """Yields (Hugging Face's name, the decoder's modules, whether it has a bias) for every module with weights, except the
    head."""
    if config.family == "gpt2":
        root, blocks = "transformer", "transformer.h"
        outside = [("wte", "embedding", False), ("wpe", "positions", False), ("ln_f", "norm", True)]
        block = [
            ("ln_1", "attention_norm", True), ("attn.c_attn", "attention.q attention.k attention.v", True),
            ("attn.c_proj", "attention.out", True), ("ln_2", "feed_forward_norm", True),
            ("mlp.c_fc", "feed_forward.up", True), ("mlp.c_proj", "feed_forward.down", True),
        ]  # fmt: skip
    else:
        root, blocks = "model", "model.layers"
        outside = [("embed_tokens", "embedding", False), ("norm", "norm", False)]
        after = [
            ("post_attention_layernorm", "attention_post_norm", False),
            ("pre_feedforward_layernorm", "feed_forward_norm", False),
            ("post_feedforward_layernorm", "feed_forward_post_norm", False),
        ]
        block = [
            ("input_layernorm", "attention_norm", False),
            ("self_attn.q_proj", "attention.q", config.qkv_bias),
            ("self_attn.k_proj", "attention.k", config.qkv_bias),
            ("self_attn.v_proj", "attention.v", config.qkv_bias),
            ("self_attn.o_proj", "attention.out", config.output_bias),
            *(after if config.post_norms else [("post_attention_layernorm", "feed_forward_norm", False)]),
            ("mlp.gate_proj", "feed_forward.gate", config.feed_forward_bias),
            ("mlp.up_proj", "feed_forward.up", config.feed_forward_bias),
            ("mlp.down_proj", "feed_forward.down", config.feed_forward_bias),
        ]
        if config.qk_norm:
            block += [("self_attn.q_norm", "attention.q_norm", False), ("self_attn.k_norm", "attention.k_norm", False)]
    for theirs, ours, bias in outside:
        yield f"{root}.{theirs}", [ours], bias
    for i in range(config.layers):
        for theirs, ours, bias in block:
            yield f"{blocks}.{i}.{theirs}", [f"blocks.{i}.{part}" for part in ours.split()], bias


def canonical_name(name: str, config: Config) -> str:
    """Returns the full name of a tensor, from a name without the family's prefix or with the prefix of a wrapper."""
    name = without_wrappers(name)
    prefix = "transformer." if config.family == "gpt2" else "model."
    return name if name.startswith(prefix) or name == HEAD else prefix + name


def is_known_extra(name: str) -> bool:
    """Returns whether a tensor (by its canonical name) is not a weight, but a mask or a rotary frequency that was saved as a
    buffer. Many published checkpoints contain such tensors."""
    masks, frequencies = r"transformer\.h\.\d+\.attn\.(masked_)?bias", r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"
    return re.fullmatch(f"{masks}|{frequencies}", name) is not None
