"""A whole embedding or head that belongs to an adapter and was trained together with LoRA.

Source: PEFT's `modules_to_save`, https://github.com/huggingface/peft. It is common in adapters that add tokens to a model. It
makes the adapter's file large; for a few tokens, `token_rows.py` is enough. "Table" means an embedding or a head.

Legend: D width, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from liuli.model.linear import Embedding, Linear


class OwnTable(nn.Module):
    """A table that replaces the base model's, fp32 (V, D)."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.table = nn.Parameter(torch.empty(count, width))

    def embed(self, ids: Tensor, base: Embedding) -> Tensor:
        """Returns this table's vectors (..., D) of ids (...), in the base's dtype."""
        return F.embedding(ids, self.table).to(base.dtype)

    def logits(self, x: Tensor, base: Linear) -> Tensor:
        """Returns the logits (..., V) of x (..., D) with this table as the head."""
        return F.linear(x, self.table.to(x.dtype), base.bias)

    def replaced_in(self, table_VD: Tensor) -> Tensor:
        """Returns this table. The argument, the base's table, is not used."""
        return self.table.detach()
