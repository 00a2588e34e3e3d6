"""A tiny random Llama with a byte-level tokenizer, made here: most tests need no real data."""

import json
from pathlib import Path

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers

from liuli.tokens.encoders.pipeline import BYTE_OF

MERGES = [("t", "h"), ("th", "e"), ("Ġ", "a"), ("1", "2"), ("å", "¥"), ("S", "T")]


def save_tokenizer(folder: Path) -> None:
    """256 bytes, a few merges, and `<|endoftext|>` as begin token."""
    pieces = ["<|endoftext|>", *BYTE_OF, *(left + right for left, right in MERGES)]
    backend = tokenizers.Tokenizer(models.BPE({piece: id for id, piece in enumerate(pieces)}, MERGES))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>"])
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|endoftext|> $A", pair="<|endoftext|> $A $B", special_tokens=[("<|endoftext|>", 0)]
    )
    backend.save(str(folder / "tokenizer.json"))


def save(folder: Path) -> None:
    """The whole model, in Hugging Face's format."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=270, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 0}))
