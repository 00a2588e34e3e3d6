"""Token rows: an adapter's own vectors for a few tokens, in place of the base's.

LoRA leaves the embedding as it is. A token that the base never met, such as the one that ends a reply, would keep a row that
means nothing, and a tied head would never write it. So the rows of such tokens learn beside LoRA: the embedding reads them,
and the head writes by them. A tied head shares the embedding's; another has rows of its own.
Source: PEFT's `trainable_token_indices`, whose `trainable_tokens_delta` is no difference but the rows themselves,
https://github.com/huggingface/peft.

Legend: C rows, D width, V vocabulary.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from liuli.errors import LiuliError
from liuli.model.adapters.place import LinearPlace, Place
from liuli.model.decoder import Decoder
from liuli.model.linear import Embedding

ALIKE = 0.8  # cosine of a row to those of strangers; of one that was met it is seldom above 0.6


class TokenRows(nn.Module):
    """The rows of some tokens, fp32 (C, D)."""

    tokens_C: Tensor

    def __init__(self, tokens: Sequence[int], width: int):
        super().__init__()
        self.register_buffer("tokens_C", torch.tensor(tokens), persistent=False)
        self.rows = nn.Parameter(torch.empty(len(tokens), width))

    def start(self, table_VD: Tensor, like: int | None) -> None:
        """As a table has them, or each as it has the token `like`."""
        self.rows.data.copy_(table_VD[self.tokens_C.to(table_VD.device) if like is None else like])

    def read(self, ids: Tensor, x: Tensor) -> Tensor:
        """x (..., D), what the table has for ids (...), with these rows where an id is one of the tokens."""
        found = ids[..., None] == self.tokens_C
        own = F.embedding(found.int().argmax(-1), self.rows).to(x.dtype)
        return torch.where(found.any(-1, keepdim=True), own, x)

    def write(self, x: Tensor, logits: Tensor) -> Tensor:
        """The logits (..., V) of x (..., D), in which the tokens' are put."""
        return logits.index_copy_(-1, self.tokens_C, F.linear(x, self.rows.to(x.dtype)))

    def put_in(self, table_VD: Tensor) -> Tensor:
        """A copy of a table, with these rows."""
        return table_VD.index_copy(0, self.tokens_C, self.rows.detach())


class RowsEmbedding(Place):
    """The embedding, ids (...) int64 -> (..., D), with adapters' rows."""

    base: Embedding

    def forward(self, ids: Tensor) -> Tensor:
        x = self.base(ids)
        return x if self.part is None else self.part.read(ids, x)

    __call__ = forward

    def dense(self) -> Tensor:
        """The effective table, fp32 (V, D)."""
        return self.base.dense() if self.part is None else self.part.put_in(self.base.dense())


class RowsHead(LinearPlace):
    """The head, x (..., D) -> (..., V), with adapters' rows. What it gives other tokens is the base's to the bit."""

    def forward(self, x: Tensor) -> Tensor:
        part = self.part
        if part is None:
            return self.base(x)
        x = x.to(self.base.dtype)
        return part.write(x, self.base(x))

    __call__ = forward

    def dense(self) -> Tensor:
        """The effective matrix, fp32 (V, D)."""
        return self.base.dense() if self.part is None else self.part.put_in(self.base.dense())


def are_tokens(ids: object) -> bool:
    """Whether it is a list of different ids."""
    return isinstance(ids, (list, tuple)) and all(type(id) is int and id >= 0 for id in ids) and len({*ids}) == len(ids)


def base_rows(decoder: Decoder, tokens: Sequence[int], like: int | None) -> dict[str, TokenRows]:
    """The base's own rows of the tokens, or of the token `like` for each, of the embedding and the head, to learn from there.
    Raises as `empty_rows`."""
    parts = empty_rows(decoder, {"embedding": tokens, "head": tokens} if tokens else {})
    for path, part in parts.items():
        table: Any = decoder.get_submodule(path)
        part.start((table.base if isinstance(table, Place) else table).dense(), like)
    return parts


def empty_rows(decoder: Decoder, tokens: Mapping[str, Sequence[int]]) -> dict[str, TokenRows]:
    """Rows without numbers, by the names of their tables in the decoder; a tied head has the embedding's.

    Args:
        tokens: by table, "embedding" or "head".

    Raises:
        LiuliError: the decoder has no such token.
    """
    count, width = decoder.config.vocab_size, decoder.config.width
    for id in (id for ids in tokens.values() for id in ids if id >= count):
        raise LiuliError(f"there is no token {id} whose row could learn: the model has {count} tokens, counted from 0")
    parts = {path: TokenRows(ids, width) for path, ids in tokens.items()}
    return parts | {"head": parts["embedding"]} if decoder.config.tied and parts else parts


def never_met(decoder: Decoder, strangers: Sequence[int], tokens: Iterable[int]) -> list[int]:
    """Those of the tokens that the decoder never met in its training, in order; `strangers` are some that it surely never met.

    At every place the loss pushes the head's rows of all other tokens away from the state there, and those that are never
    right are pushed alike, until hardly more is left of them than that direction: such a row says no more than that its token
    does not come. Source: Land and Bartolo 2024, https://arxiv.org/abs/2405.05417.
    """
    table_VD = decoder.head.dense()
    alike_V = F.cosine_similarity(table_VD, table_VD[list(strangers)].mean(0), dim=-1) > ALIKE
    return [id for id in sorted(tokens) if alike_V[id]]
