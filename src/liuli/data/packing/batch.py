"""Rows of pieces as tensors: what a forward pass reads, and its targets.

Legend: B rows, T positions of a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from liuli.data.packing.pieces import Piece
from liuli.model.logprobs import IGNORED


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to learn from or to measure on; the tensors are (B, T).

    Attributes:
        ids_BT: the input ids, int64. targets_BT: the next id, int64; IGNORED if a position is empty or not supervised.
        positions_BT: each document's own, from 0, int64.
        segments_BT: the document's number within the row, int64; −1 if a position is empty.
        apart: whether a row has several documents or empty positions, so that attention needs the segments.
        pieces: of each row, in order; `Piece` says which document each is from.
        epochs: of each row: how many times the text was read before.
        weights_BT: the weight of each target, fp32; None: 1 each.
        advantages_BT: of each target, fp32, for policy gradients.
        reference_logprobs_BT: log-probability of each target under a reference model, in nats, fp32.
    """

    ids_BT: Tensor
    targets_BT: Tensor
    positions_BT: Tensor
    segments_BT: Tensor
    apart: bool
    pieces: list[list[Piece]]
    epochs: list[int]
    weights_BT: Tensor | None = None
    advantages_BT: Tensor | None = None
    reference_logprobs_BT: Tensor | None = None

    @property
    def supervised(self) -> int:
        """How many positions have a target."""
        return int((self.targets_BT != IGNORED).sum())

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """The arguments of `Decoder.hidden`. Rows of one whole document each need no mask: causal attention does half the
        work."""
        return self.ids_BT, self.positions_BT, self.segments_BT if self.apart else None

    def parts(self, rows: int, device: torch.device) -> Iterator["Batch"]:
        """The same rows, at most `rows` at a time, on a device."""
        for start in range(0, len(self.pieces), rows):
            here = slice(start, start + rows)
            changed: dict[str, Any] = {
                name: tensor[here].to(device) for name in TENSORS if (tensor := getattr(self, name)) is not None
            }
            # `apart` is decided before the rows go to a GPU, which would have to be waited for.
            apart = bool(self.segments_BT[here].any())
            yield replace(self, **changed, apart=apart, pieces=self.pieces[here], epochs=self.epochs[here])

    def beginnings(self, places: int) -> "Batch":
        """The first `places` of each row. `pieces` stay those of the whole rows."""
        return replace(self, **{name: tensor[:, :places] for name in TENSORS if (tensor := getattr(self, name)) is not None})

    def joined(self, other: "Batch") -> "Batch":
        """Returns the rows of both batches. Both have the same tensors, except that one of them may have no weights."""
        changed: dict[str, Any] = {}
        for name in TENSORS:
            pair = getattr(self, name), getattr(other, name)
            if name == "weights_BT" and not (pair[0] is None and pair[1] is None):
                pair = self._weights(), other._weights()
            assert (pair[0] is None) == (pair[1] is None), name
            changed[name] = None if pair[0] is None else torch.cat(pair)
        pieces, epochs = self.pieces + other.pieces, self.epochs + other.epochs
        return replace(self, **changed, apart=self.apart or other.apart, pieces=pieces, epochs=epochs)

    def _weights(self) -> Tensor:
        return torch.ones(self.ids_BT.shape) if self.weights_BT is None else self.weights_BT


TENSORS = tuple(field.name for field in fields(Batch) if field.name.endswith("_BT"))


def batch_of(rows: list[list[Piece]], epochs: list[int], length: int, empty: int) -> Batch:
    """Rows of pieces as tensors; `empty`: the id at empty positions."""
    shape = len(rows), length
    ids, targets, positions, segments = (np.full(shape, value, np.int64) for value in (empty, IGNORED, 0, -1))
    weighted = any(piece.weights is not None for row in rows for piece in row)
    weights = np.ones(shape, np.float32)
    for b, row in enumerate(rows):
        at = 0
        for segment, piece in enumerate(row):
            here = slice(at, at + piece.places)
            following = piece.ids[1:]
            targets[b, here] = following if piece.supervised is None else np.where(piece.supervised[1:], following, IGNORED)
            ids[b, here] = piece.ids[:-1]
            positions[b, here], segments[b, here] = np.arange(piece.places), segment
            if piece.weights is not None:
                weights[b, here] = piece.weights[1:]
            at += piece.places
    return Batch(
        ids_BT=torch.from_numpy(ids),
        targets_BT=torch.from_numpy(targets),
        positions_BT=torch.from_numpy(positions),
        segments_BT=torch.from_numpy(segments),
        apart=bool(segments.any()),
        pieces=rows,
        epochs=epochs,
        weights_BT=torch.from_numpy(weights) if weighted else None,
    )
