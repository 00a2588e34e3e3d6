"""Rows of pieces as tensors: what a forward pass reads, and what it is to predict.

Legend: B rows, T places of a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from liuli.data.packing.pieces import Piece

IGNORED = -100  # the target of a place that is not supervised, as PyTorch's cross entropy knows it


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows, int64 (B, T) each.

    Attributes:
        ids_BT: what is read. targets_BT: what comes next, IGNORED where a place is empty.
        positions_BT: each document's own, from 0. segments_BT: its number within the row, −1 where a place is empty.
        pieces: of each row, in order; `pieces.Piece` says which document each is from.
        epochs: of each row: how many times the text was read before.
    """

    ids_BT: Tensor
    targets_BT: Tensor
    positions_BT: Tensor
    segments_BT: Tensor
    pieces: list[list[Piece]]
    epochs: list[int]

    @property
    def supervised(self) -> int:
        """Places that have a target."""
        return int((self.targets_BT != IGNORED).sum())

    def parts(self, rows: int, device: torch.device) -> Iterator["Batch"]:
        """The same rows, at most `rows` at a time, on a device."""
        for at in range(0, len(self.pieces), rows):
            here = slice(at, at + rows)
            tensors = (self.ids_BT, self.targets_BT, self.positions_BT, self.segments_BT)
            ids, targets, positions, segments = (tensor[here].to(device) for tensor in tensors)
            yield Batch(ids, targets, positions, segments, self.pieces[here], self.epochs[here])


def batch_of(rows: list[list[Piece]], epochs: list[int], length: int, empty: int) -> Batch:
    """Rows of pieces as tensors; `empty`: the id that stands where nothing does."""
    shape = len(rows), length
    ids, targets, positions, segments = (np.full(shape, value, np.int64) for value in (empty, IGNORED, 0, -1))
    for b, row in enumerate(rows):
        at = 0
        for segment, piece in enumerate(row):
            here = slice(at, at + piece.places)
            wanted = piece.ids[1:] if piece.supervised is None else np.where(piece.supervised[1:], piece.ids[1:], IGNORED)
            ids[b, here], targets[b, here] = piece.ids[:-1], wanted
            positions[b, here], segments[b, here] = np.arange(piece.places), segment
            at += piece.places
    tensors = [torch.from_numpy(field) for field in (ids, targets, positions, segments)]
    return Batch(tensors[0], tensors[1], tensors[2], tensors[3], rows, epochs)
