"""Small GGUF files, written with the package `gguf` as llama.cpp's converter (conversion/*.py) writes them: names from its own
table, Llama's queries and keys permuted, GPT-2's matrices transposed."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from gguf import TokenType

ARCHITECTURES = {
    "gpt2": gguf.MODEL_ARCH.GPT2,
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
}
TypeOf = Callable[[str, np.ndarray], Type]


def float_32(name: str, array: np.ndarray) -> Type:
    return Type.F32


def save_model(
    model: transformers.PreTrainedModel,
    path: Path,
    type_of: TypeOf = float_32,
    more: Callable[[gguf.GGUFWriter], Any] = lambda writer: None,
) -> None:
    """Writes a model of `transformers`.

    Args:
        type_of: the type of each tensor, by GGUF's name. Only those that the package can write.
        more: adds to the metadata, such as a tokenizer.
    """
    config = model.config
    architecture = ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    _settings(writer, config)
    more(writer)
    for name, array in tensors_of(model).items():
        kind = Type.F32 if array.ndim == 1 else type_of(name, array)
        writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    close(writer)


def save_metadata(path: Path, add: Callable[[gguf.GGUFWriter], Any]) -> Path:
    """Writes a file without tensors, whose metadata `add` writes. Returns the path."""
    writer = gguf.GGUFWriter(path, "llama")
    add(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def close(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors_of(model: transformers.PreTrainedModel) -> dict[str, np.ndarray]:
    """The tensors in fp32, by GGUF's names."""
    config: Any = model.config
    names = gguf.get_tensor_name_map(ARCHITECTURES[config.model_type], config.num_hidden_layers)
    found: dict[str, np.ndarray] = {}
    for theirs, tensor in model.state_dict().items():
        if theirs == "lm_head.weight" and config.tie_word_embeddings:
            continue
        name = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        assert name is not None, theirs
        if config.model_type == "gpt2" and ".c_" in theirs and theirs.endswith("weight"):
            tensor = tensor.t()
        if config.model_type in ("llama", "mistral") and (".q_proj." in theirs or ".k_proj." in theirs):
            heads = config.num_attention_heads if ".q_proj." in theirs else config.num_key_value_heads
            tensor = tensor.reshape(heads, 2, len(tensor) // heads // 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)
        if config.model_type == "gemma3_text" and theirs.endswith("norm.weight"):
            tensor = tensor + 1
        found[name] = tensor.float().contiguous().numpy()
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "llama3":
        found["rope_freqs.weight"] = _llama3_divisors(config, rope)
    return found


def _llama3_divisors(config: Any, rope: dict[str, Any]) -> np.ndarray:
    """As `generate_extra_tensors` of conversion/llama.py has it."""
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    frequencies = 1.0 / rope["rope_theta"] ** (torch.arange(0, width, 2).float() / width)
    low, high, original = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    found = []
    for wavelength in 2 * math.pi / frequencies:
        if wavelength < original / high:
            found.append(1.0)
        elif wavelength > original / low:
            found.append(rope["factor"])
        else:
            smooth = (original / wavelength - low) / (high - low)
            found.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(found, np.float32)


def _settings(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    if config.model_type == "gpt2":
        writer.add_feed_forward_length(4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        writer.add_vocab_size(config.vocab_size)
        return
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if getattr(config, "head_dim", None):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if config.model_type in ("mistral", "gemma3_text") and config.sliding_window:
        writer.add_sliding_window(config.sliding_window)
    rope = config.rope_parameters
    if config.model_type == "gemma3_text":
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
        rope = rope["full_attention"]
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])


def add_merges(writer: gguf.GGUFWriter, tokens: list[str], merges: list[str], types: dict[str, TokenType], pre: str) -> None:
    """A byte-level BPE. `types`: of the tokens that are not normal."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([types.get(token, TokenType.NORMAL) for token in tokens])
    writer.add_token_merges(merges)


def add_pieces(writer: gguf.GGUFWriter, tokens: list[str], scores: list[float], types: list[TokenType]) -> None:
    """A BPE with scores, as SentencePiece has it."""
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)


def save_talking(folder: Path, path: Path, template: str, kind: TokenType = TokenType.CONTROL) -> None:
    """The model of `talking.save` in a folder, with its tokenizer and a template, as one file.

    Args:
        kind: the type of its special tokens.
    """
    content = json.loads((folder / "tokenizer.json").read_text())
    special = {token["content"]: token["id"] for token in content["added_tokens"]}
    tokens = {**content["model"]["vocab"], **special}
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in content["model"]["merges"]]

    def add(writer: gguf.GGUFWriter) -> None:
        texts = sorted(tokens, key=lambda token: tokens[token])
        add_merges(writer, texts, merges, dict.fromkeys(special, kind), "gpt-2")
        writer.add_bos_token_id(special["<|endoftext|>"])
        writer.add_eos_token_id(special["<|endoftext|>"])
        writer.add_add_bos_token(True)
        writer.add_chat_template(template)

    save_model(transformers.AutoModelForCausalLM.from_pretrained(folder), path, more=add)
