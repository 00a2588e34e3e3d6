"""A model whose replies are known: each token leads to one other, or to several that are equally likely.

It says one of `REPLIES`; where it is `endless`, a and ESC without end. Its tokenizer is the tiny one with ChatML's two tokens,
or one with BERT's vocabulary.
"""

import json
from itertools import pairwise
from pathlib import Path

import tokenizers
import torch
import transformers
from helpers import tiny

from liuli.tokens import open_tokenizer

REPLIES = ("好的。", "Hi!")  # no byte comes twice
BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"今天气真好的不错")
SIZE = 288  # of vocabulary and width


def save(folder: Path, replies=REPLIES, context=128, endless=False, template=None) -> Path:
    """`template`: what the folder says by itself."""
    folder.mkdir()
    tiny.save_tokenizer(folder)
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    backend.save(str(folder / "tokenizer.json"))
    if template:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    tokenizer = open_tokenizer(folder)
    end = tokenizer.specials["<|im_end|>"]
    chains = [[tokenizer.encode("\n")[0], *(id for c in reply for id in _bytes(tokenizer, c)), end] for reply in replies]
    a, escape = tokenizer.encode("a\x1b")
    save_decoder(folder, [[chains[0][0], a, escape, a]] if endless else chains, context)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 0}))
    return folder


def save_bert(folder: Path) -> Path:
    """It answers 不错 to whatever was said, in BERT's vocabulary."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(BERT), encoding="utf-8")
    separator = BERT.index("[SEP]")
    save_decoder(folder, [[separator, BERT.index("不"), BERT.index("错"), separator]], 32)
    return folder


def save_decoder(folder: Path, chains: list[list[int]], context: int) -> None:
    """A token's embedding is its own direction, the block adds nothing, and the head turns to what follows."""
    config = transformers.LlamaConfig(
        vocab_size=SIZE, hidden_size=SIZE, intermediate_size=8, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=1, max_position_embeddings=context, bos_token_id=0, eos_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if "norm" in name else 0.0)
        model.model.embed_tokens.weight.copy_(torch.eye(SIZE))
        for chain in chains:
            for before, after in pairwise(chain):
                model.lm_head.weight[after, before] = 4.0
    model.save_pretrained(folder)


def _bytes(tokenizer, character: str) -> list[int]:
    return [id for byte in character.encode() for id in range(300) if tokenizer.token(id).bytes == bytes([byte])]
