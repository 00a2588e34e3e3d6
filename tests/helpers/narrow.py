"""A random model with the layers, the heads and the vocabulary of Qwen 2.5 0.5B, but with narrow vectors: what it computes has
the shapes of a real model, and takes seconds."""

from pathlib import Path

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers

from liuli.tokens.encoders.pipeline import BYTE_OF

VOCABULARY, LAYERS, HEADS, HEAD_WIDTH = 151_936, 24, 14, 4
TEXT = (
    "the capital of France is Paris and the capital of Italy is Rome because a city with a river and a bridge is where "
    "people meet and talk and when it rains they take a boat to the other side of the water and wait until the sun comes "
    "back over the old houses and then they go home to eat bread and"
)
OTHER = TEXT.replace("Italy", "Spain")


def save(folder: Path) -> None:
    """The whole model, in Hugging Face's format."""
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=HEADS * HEAD_WIDTH, intermediate_size=32, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=True,
    )  # fmt: skip
    transformers.Qwen2ForCausalLM(config).save_pretrained(folder)
    merges = _merges()
    pieces = [*BYTE_OF, *(left + right for left, right in merges)]
    pieces += [f"Ġ{number:x}" for number in range(VOCABULARY - len(pieces))]
    backend = tokenizers.Tokenizer(models.BPE({piece: at for at, piece in enumerate(pieces)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.save(str(folder / "tokenizer.json"))


def _merges() -> list[tuple[str, str]]:
    """Merges that make each word of the texts, with the space before it, a token."""
    found: dict[tuple[str, str], None] = {}
    for word in f"{TEXT} {OTHER}".split():
        whole = "Ġ"
        for letter in word:
            found[whole, letter] = None
            whole += letter
    return list(found)
