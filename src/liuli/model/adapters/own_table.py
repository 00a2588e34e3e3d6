"""A whole table of an adapter's own: an embedding or a head that was trained in full, next to LoRA.

Source: PEFT's `modules_to_save`, https://github.com/huggingface/peft. It is what people use who add tokens to a model, and
makes an adapter as large as the tables; for a few tokens, `token_rows.py` is enough.

Legend: D width, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from liuli.model.linear import Embedding, Linear


class OwnTable(nn.Module):
    """A table in place of the base's, fp32 (V, D)."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.table = nn.Parameter(torch.empty(count, width))

    def embed(self, ids: Tensor, base: Embedding) -> Tensor:
        """(..., D): this table's vectors of ids (...), in the base's dtype."""
        return F.embedding(ids, self.table).to(base.dtype)

    def logits(self, x: Tensor, base: Linear) -> Tensor:
        """(..., V): the logits of x (..., D) by this table."""
        return F.linear(x, self.table.to(x.dtype), base.bias)

    def replaced_in(self, table_VD: Tensor) -> Tensor:
        """This table, whatever it replaces."""
        return self.table.detach()
