"""The buffer that rows are packed from: pieces at random, then the longest that fits the gap (best-fit packing).

Source: Ding et al. 2024, https://arxiv.org/abs/2404.10830.
"""

import random
from collections.abc import Iterator
from itertools import chain

import numpy as np

from liuli.data.packing.pieces import Piece


class Buffer:
    """Pieces by their number of positions, 1 to `length`. `ids`: how many ids all pieces have together."""

    def __init__(self, length: int):
        self.ids, self._length = 0, length
        self._of: list[list[Piece]] = [[] for _ in range(length + 1)]
        self._counts = np.zeros(length + 1, np.int64)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def __iter__(self) -> Iterator[Piece]:
        return chain.from_iterable(self._of)

    def add(self, piece: Piece) -> None:
        self._of[piece.places].append(piece)
        self._counts[piece.places] += 1
        self.ids += len(piece.ids)

    def pack(self, seed: str) -> list[Piece]:
        """Takes one row: random pieces while they fit, then the longest that fits, until none does."""
        draw, row, gap = random.Random(seed).random, [], self._length
        while (piece := self.draw(draw(), gap)) is not None:
            row.append(piece)
            gap -= piece.places
        assert row, "a piece fits an empty row"
        return row

    def draw(self, uniform: float, gap: int) -> Piece | None:
        """Takes the piece that `uniform`, in [0, 1), falls on. If it has more than `gap` positions, takes one of the longest
        that fit. None if no piece fits."""
        behind = self._counts.cumsum()
        chosen = int(uniform * behind[-1])
        places = int(np.searchsorted(behind, chosen, "right"))
        if places > gap or not behind[-1]:
            fitting = np.flatnonzero(self._counts[: gap + 1])
            if not len(fitting):
                return None
            places = int(fitting[-1])
            chosen = int(behind[places]) - 1
        return self._take(places, chosen - int(behind[places] - self._counts[places]))

    def _take(self, places: int, i: int) -> Piece:
        """Takes piece i of those with so many positions. The last of them moves to its index."""
        of = self._of[places]
        of[i], piece = of[-1], of[i]
        of.pop()
        self._counts[places] -= 1
        self.ids -= len(piece.ids)
        return piece
