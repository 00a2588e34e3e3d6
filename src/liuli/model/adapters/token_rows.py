"""Token rows: an adapter's own embedding rows for a few tokens, which replace the base's.

LoRA does not change the embedding. A token that the base was never trained on, such as the one that ends a reply, would keep a
meaningless row, and a tied head would never give it a high logit. So the rows of such tokens are trained together with LoRA.
The embedding reads them, and the head computes the tokens' logits from them. A tied head shares the embedding's rows; an untied
head has rows of its own.
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

ALIKE = 0.8  # cosine of an untrained row to those of other untrained tokens; of a trained one it is seldom above 0.6


class TokenRows(nn.Module):
    """The rows of some tokens, fp32 (C, D)."""

    tokens_C: Tensor

    def __init__(self, tokens: Sequence[int], width: int):
        super().__init__()
        self.register_buffer("tokens_C", torch.tensor(tokens), persistent=False)
        self.rows = nn.Parameter(torch.empty(len(tokens), width))

    def start(self, base: Embedding | Linear, like: int | None) -> None:
        """Copies the tokens' rows of a table, or its row of the token `like` for each."""
        self.rows.data.copy_(base.rows(self.tokens_C.tolist() if like is None else [like]))

    def embed(self, ids: Tensor, base: Embedding) -> Tensor:
        """(..., D): the table's vectors of ids (...), with these rows wherever an id is one of the tokens."""
        x = base(ids)
        found = ids[..., None] == self.tokens_C
        own = F.embedding(found.int().argmax(-1), self.rows).to(x.dtype)
        return torch.where(found.any(-1, keepdim=True), own, x)

    def logits(self, x: Tensor, base: Linear) -> Tensor:
        """(..., V): the head's logits of x (..., D), with these rows' for their tokens. All others are the base's to the
        bit."""
        logits = base(x)
        logits[..., self.tokens_C] = F.linear(x, self.rows.to(x.dtype))  # `index_copy_` has no kernel on MPS in PyTorch 2.6
        return logits

    def replaced_in(self, table_VD: Tensor) -> Tensor:
        """A copy of a table with these rows."""
        return table_VD.index_put((self.tokens_C,), self.rows.detach())


def are_tokens(ids: object) -> bool:
    """Whether it is a list of different ids."""
    return isinstance(ids, (list, tuple)) and all(type(id) is int and id >= 0 for id in ids) and len({*ids}) == len(ids)


def base_rows(decoder: Decoder, tokens: Sequence[int], like: int | None) -> dict[str, TokenRows]:
    """Rows that start as the base's own rows of the tokens, or of the token `like` for each, in the embedding and the head.
    Raises as `empty_rows`."""
    modules = empty_rows(decoder, {"embedding": tokens, "head": tokens} if tokens else {})
    for path, module in modules.items():
        table: Any = decoder.get_submodule(path)
        module.start(table.base if isinstance(table, AdapterSlot) else table, like)
    return modules


def empty_rows(decoder: Decoder, tokens: Mapping[str, Sequence[int]]) -> dict[str, TokenRows]:
    """Rows that are not filled yet, by the names of their tables in the decoder; a tied head has the embedding's.

    Args:
        tokens: by table, "embedding" or "head".

    Raises:
        LiuliError: the decoder has no such token.
    """
    count, width = decoder.config.vocab_size, decoder.config.width
    for token in (token for ids in tokens.values() for token in ids if token >= count):
        raise LiuliError(f"there is no token {token} whose row could learn: the model has {count} tokens, counted from 0")
    modules = {path: TokenRows(ids, width) for path, ids in tokens.items()}
    return modules | {"head": modules["embedding"]} if decoder.config.tied and modules else modules


def never_met(decoder: Decoder, strangers: Sequence[int], tokens: Iterable[int]) -> list[int]:
    """Those of the tokens that the decoder was never trained on, in order.

    At every position the loss pushes the head's rows of all other tokens away from the hidden state there. Tokens that are
    never right are all pushed alike, until little more than that direction is left of their rows: such a row says only that
    its token does not come. Source: Land and Bartolo 2024, https://arxiv.org/abs/2405.05417.

    Args:
        strangers: tokens that it was certainly never trained on.
    """
    table_VD = decoder.head.dense()
    alike_V = F.cosine_similarity(table_VD, table_VD[list(strangers)].mean(0), dim=-1) > ALIKE
    return [token for token in sorted(tokens) if alike_V[token]]
