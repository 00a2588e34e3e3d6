"""The truth in a tokenizer's tokens: the floor per token, and the next token's probabilities where they exist.

In: a world and a tokenizer. Out: nats per token, ids with their probabilities. Tokens do not respect pieces, so the second is
not always there; `comparison.py` works for every tokenizer.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from liuli.errors import LiuliError
from liuli.tokens.tokenizer import Tokenizer
from liuli.world.world import END, World


@dataclass(frozen=True, slots=True)
class TokenFloor:
    """The floor over tokens. No model that predicts these tokens can have a lower expected loss.

    Attributes:
        nats: a token: the exact expected nats of a document over `tokens`.
        error: the standard error of `nats`, which comes from `tokens` alone.
        tokens: a document, its end counted and its begin not: what a model predicts. The mean of `documents` samples.
        documents: how many were sampled.
    """

    nats: float
    error: float
    tokens: float
    documents: int

    def to_json(self) -> dict[str, Any]:
        return {"nats": self.nats, "error": self.error, "tokens": self.tokens, "documents": self.documents}


@dataclass(frozen=True, slots=True)
class TokenBranch:
    """What may follow a prefix, by next token.

    Attributes:
        ids: of the prefix, without a begin token.
        tokens: each next id with its probability; None where the next token does not exist, because the prefix's own last
            tokens depend on what follows.
        pieces: the pieces that may follow, with their probabilities; there in either case.
        joined: the pieces before which the prefix is cut otherwise; none where `tokens` exists.
    """

    ids: list[int]
    tokens: dict[int, float] | None
    pieces: dict[str, float]
    joined: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        tokens = self.tokens and [{"id": id, "probability": share} for id, share in self.tokens.items()]
        pieces = [{"text": text.removesuffix(END), "probability": share} for text, share in self.pieces.items()]
        return {"ids": self.ids, "tokens": tokens, "pieces": pieces, "joined": [text.removesuffix(END) for text in self.joined]}


def floor_per_token(world: World, tokenizer: Tokenizer, documents: int = 10_000, seed: int = 0) -> TokenFloor:
    """The floor in nats per token, for a tokenizer that always cuts a text in the same way.

    Raises:
        LiuliError: fewer than 2 documents, of which no error can be told; a bad seed.
    """
    if documents < 2:
        raise LiuliError(f"the tokens of a document must be estimated from at least 2 documents, not {documents}")
    counts = [len(tokenizer.encode(document)) + 1 for document in world.documents(documents, seed)]
    tokens, nats = fmean(counts), sum(world.floor.nats.values())
    relative = stdev(counts) / math.sqrt(documents) / tokens
    return TokenFloor(nats / tokens, nats / tokens * relative, tokens, documents)


def token_branch(world: World, tokenizer: Tokenizer, prefix: str) -> TokenBranch:
    """The next token after `prefix`, which exists only where the ids of the prefix begin the ids of every branch.

    A branch is the prefix with a piece and, since a piece's tokens may depend on what comes behind it, each piece that may
    follow that one, encoded whole. Branches are grouped by their first new token.

    Raises:
        LiuliError: no document begins so; or `prefix` is a whole document and the tokenizer has no end token.
    """
    ids = tokenizer.encode(prefix)
    pieces = world.next_pieces(prefix)
    if END in pieces:
        if not tokenizer.end:
            raise LiuliError(
                "this tokenizer has no end token, so no token follows a whole document: use a tokenizer that has one"
            )
        return TokenBranch(ids, {tokenizer.end[0]: 1.0}, pieces, ())
    tokens: dict[int, list[float]] = {}
    joined: dict[str, None] = {}
    for piece, text, share in _branches(world, prefix, pieces):
        longer = tokenizer.encode(text)
        if longer[: len(ids)] == ids and len(longer) > len(ids):
            tokens.setdefault(longer[len(ids)], []).append(share)
        else:
            joined[piece] = None
    found = None if joined else {id: math.fsum(shares) for id, shares in tokens.items()}
    return TokenBranch(ids, found, pieces, tuple(joined))


def _branches(world: World, prefix: str, pieces: dict[str, float]) -> Iterator[tuple[str, str, float]]:
    """Each piece with each that may follow it: the piece, the whole text, its probability after the prefix."""
    for piece, share in pieces.items():
        for following, part in world.next_pieces(prefix + piece).items():
            yield piece, prefix + piece + following.removesuffix(END), share * part
