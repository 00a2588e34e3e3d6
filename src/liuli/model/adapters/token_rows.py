"""Token rows: an adapter's own embedding rows for a few tokens. They replace the base model's rows.

LoRA does not change the embedding. A token that the base model was never trained on, such as the one that ends a reply, would
keep a meaningless row, and a tied head would never give it a high logit. So the rows of such tokens are trained together with
LoRA. They are used both in the embedding and in the head, for the tokens' logits. A tied head shares the embedding's rows; an
untied head has its own rows.
Source: PEFT's `trainable_token_indices`. Its `trainable_tokens_delta` is not a difference but the rows themselves,
https://github.com/huggingface/peft.

Legend: C rows, D width, V vocabulary.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from liuli.errors import LiuliError
from liuli.model.adapters.slot import AdapterSlot
from liuli.model.decoder import Decoder
from liuli.model.linear import Embedding, Linear

ALIKE = 0.8  # a row whose cosine to the rows of untrained tokens is above this is untrained; trained rows are seldom above 0.6


class TokenRows(nn.Module):
    """The rows of some tokens, fp32 (C, D)."""

    tokens_C: Tensor

    def __init__(self, tokens: Sequence[int], width: int):
        super().__init__()
        self.register_buffer("tokens_C", torch.tensor(tokens), persistent=False)
        self.rows = nn.Parameter(torch.empty(len(tokens), width))

    def start(self, base: Embedding | Linear, like: int | None) -> None:
        """Copies the tokens' rows from an embedding or a head. If `like` is given, each starts as the row of that token."""
        self.rows.data.copy_(base.rows(self.tokens_C.tolist() if like is None else [like]))

    def embed(self, ids: Tensor, base: Embedding) -> Tensor:
        """Returns the vectors (..., D) of ids (...): these rows for their tokens, and the base's vectors for all others."""
        x = base(ids)
        found = ids[..., None] == self.tokens_C
        own = F.embedding(found.int().argmax(-1), self.rows).to(x.dtype)
        return torch.where(found.any(-1, keepdim=True), own, x)

    def logits(self, x: Tensor, base: Linear) -> Tensor:
        """Returns the logits (..., V) of x (..., D): from these rows for their tokens, and exactly the base's logits for all
        others."""
        logits = base(x)
        logits[..., self.tokens_C] = F.linear(x, self.rows.to(x.dtype))  # `index_copy_` has no kernel on MPS in PyTorch 2.6
        return logits

    def replaced_in(self, table_VD: Tensor) -> Tensor:
        """Returns a copy of an embedding's or a head's matrix with these rows."""
        return table_VD.index_put((self.tokens_C,), self.rows.detach())


def are_tokens(ids: object) -> bool:
    """Returns whether the value is a list of different token ids."""
    return isinstance(ids, (list, tuple)) and all(type(id) is int and id >= 0 for id in ids) and len({*ids}) == len(ids)


def base_rows(decoder: Decoder, tokens: Sequence[int], like: int | None) -> dict[str, TokenRows]:
    """Returns rows for the embedding and the head that start as copies of the base's rows for these tokens. If `like` is given,
    each starts as the row of that token. Raises the errors of `empty_rows`."""
    modules = empty_rows(decoder, {"embedding": tokens, "head": tokens} if tokens else {})
    for path, module in modules.items():
        table: Any = decoder.get_submodule(path)
        module.start(table.base if isinstance(table, AdapterSlot) else table, like)
    return modules


def empty_rows(decoder: Decoder, tokens: Mapping[str, Sequence[int]]) -> dict[str, TokenRows]:
    """Returns rows without values, for the embedding and the head by their names in the decoder. A tied head shares the
    embedding's rows.

    Args:
        tokens: the tokens of "embedding" and of "head".

    Raises:
        LiuliError: the decoder has no such token.
    """
    count, width = decoder.config.vocab_size, decoder.config.width
    for token in (token for ids in tokens.values() for token in ids if token >= count):
        raise LiuliError(f"token {token} cannot be trained: the model's ids are 0 to {count - 1}")
    modules = {path: TokenRows(ids, width) for path, ids in tokens.items()}
    return modules | {"head": modules["embedding"]} if decoder.config.tied and modules else modules


def never_met(decoder: Decoder, strangers: Sequence[int], tokens: Iterable[int]) -> list[int]:
    """Returns those of the tokens that the decoder was never trained on, in ascending order.

    At every position, the loss pushes the head's rows of all tokens except the right one away from the hidden state. The rows
    of tokens that never occur are all pushed in the same direction, until they are nearly parallel. So a row that is nearly
    parallel to those of tokens that certainly never occurred is untrained too. Source: Land and Bartolo 2024,
    https://arxiv.org/abs/2405.05417.

    Args:
        strangers: tokens that the decoder was certainly never trained on.
    """
    table_VD = decoder.head.dense()
    alike_V = F.cosine_similarity(table_VD, table_VD[list(strangers)].mean(0), dim=-1) > ALIKE
    return [token for token in sorted(tokens) if alike_V[token]]
