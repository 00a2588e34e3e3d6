"""A tiny random base and an assistant of one tokenizer, made here; `tiny` is a model of another."""

import json
import shutil
from pathlib import Path

import torch
import transformers

from liuli.tokens import open_tokenizer
from liuli.tokens.chat.specials import make_conversational
from liuli.tokens.train import train

TEXT = "小明今天去游乐园玩，他坐了过山车。 The cat sat on the mat; a cake for 12 June. user assistant "


def save_base(folder: Path, seed: int = 1, spare: int = 0, context: int = 128) -> Path:
    """A model whose tokenizer has ChatML's tokens, as those trained here, and no template. `spare`: rows of the embedding that
    no token uses."""
    folder.mkdir(parents=True, exist_ok=True)
    train([TEXT * 4], vocab_size=330).write(folder)
    size = open_tokenizer(folder).vocab_size
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=size + spare, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=context, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2)
    model.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 0}))
    (folder / "liuli.json").write_text(json.dumps({"stage": "base"}))
    return folder


def save_assistant(folder: Path, base: Path, seed: int = 2) -> Path:
    """Other weights of the same shape, with the template that fine-tuning writes."""
    save_base(folder, seed)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, folder / name)
    make_conversational(folder, json.loads((base / "config.json").read_text())["vocab_size"])
    (folder / "liuli.json").write_text(json.dumps({"stage": "assistant"}))
    return folder
