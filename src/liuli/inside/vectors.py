"""The vectors of a text's tokens in the embedding table: their numbers, their nearest neighbours, and a map.

Neighbours are found by the cosine of vectors from which the mean of the table was subtracted (all vectors of a table share a
large common part). The map is a principal component analysis of the vectors that it shows.

Legend of shape suffixes: V vocabulary, D width, Q tokens asked about, N points on the map, C neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from liuli.errors import LiuliError
from liuli.generate.model import Model
from liuli.inside.arrays import Array, array
from liuli.inside.passage import read_passage
from liuli.inside.self_check import SelfCheck, largest
from liuli.inside.tape import check_finite
from liuli.inside.view import ModelFacts, View, ViewPart
from liuli.model.linear import Embedding
from liuli.tokens import Token
from liuli.watch import Watch, unwatched

MOST_TOKENS = 256  # different ones; each adds up to nine points to the map
NEIGHBOURS = 8
FIRST = 8  # numbers of a vector that are shown
ROWS_AT_ONCE = 1 << 14  # of the table
LIMIT = 1e-5  # of a cosine


@dataclass(frozen=True, kw_only=True)
class TokenVector(ViewPart):
    """A token's vector: its row of the embedding table.

    Attributes:
        point: its place on the map.
        first: its first 8 numbers. size: its length (Euclidean norm).
        neighbours: the most similar tokens, the most similar first, as places on the map. cosines: to them.
    """

    token: Token
    point: int
    first: tuple[float, ...]
    size: float
    neighbours: tuple[int, ...]
    cosines: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class VectorsView(View):
    """The vectors of the text's tokens.

    Attributes:
        vectors: of each different token of the text.
        factor: by which the model multiplies a row before the first layer: √width in Gemma 3, 1 in other families.
        adds_positions: whether the model then adds a vector of the token's place, as GPT-2 does.
        points: all tokens on the map: those of the text, and their neighbours.
        xy: where they are on the map. explained: the share of the differences between the points that each axis shows.
    """

    NAME: ClassVar[str] = "vectors"

    vectors: tuple[TokenVector, ...]
    factor: float
    adds_positions: bool
    points: tuple[Token, ...]
    xy: Array = array("(N, 2)", "length in the map")
    explained: tuple[float, float]


def vectors(model: Model, text: str, watch: Watch = unwatched) -> VectorsView:
    """Returns the vectors of the tokens of `text`.

    Raises:
        LiuliError: what `read_passage` raises; the text has more than 256 different tokens.
    """
    read = read_passage(model, text)
    tokenizer, table = model.tokenizer, model.decoder.embedding
    assert tokenizer is not None
    asked = [token.id for token in read.tokens if not token.special] or list(read.ids)
    asked = list(dict.fromkeys(asked))  # each once, in order
    if len(asked) > MOST_TOKENS:
        counts = f"this view shows at most {MOST_TOKENS} different tokens, and the text has {len(asked)}"
        raise LiuliError(f"{counts}: give a shorter text")
    count = min(tokenizer.vocab_size, model.config.vocab_size)  # further rows have no token
    mean_D, nearest_QC, cosines_QC = _search(table, asked, count, watch)

    ids = list(dict.fromkeys([*asked, *nearest_QC.flatten().tolist()]))
    place = {token_id: at for at, token_id in enumerate(ids)}
    vectors_ND = table.rows(ids).cpu()
    xy_N2, explained = _map(vectors_ND)
    found = tuple(
        TokenVector(
            token=tokenizer.token(token_id),
            point=place[token_id],
            first=tuple(vectors_ND[place[token_id], :FIRST].tolist()),
            size=vectors_ND[place[token_id]].norm().item(),
            neighbours=tuple(place[each] for each in nearest_QC[q].tolist()),
            cosines=tuple(cosines_QC[q].tolist()),
        )
        for q, token_id in enumerate(asked)
    )
    return VectorsView(
        model=ModelFacts.of(model),
        input=read,
        checks=(SelfCheck("cosines_recomputed", _gap(found, vectors_ND, mean_D.cpu()), "cosine", LIMIT),),
        caveats=("map.lossy", "token.bytes"),
        vectors=found,
        factor=model.config.embedding_scale or 1.0,
        adds_positions=not model.config.rotary,
        points=tuple(map(tokenizer.token, ids)),
        xy=xy_N2.numpy(),
        explained=explained,
    )


def _search(table: Embedding, asked: list[int], count: int, watch: Watch) -> tuple[Tensor, Tensor, Tensor]:
    """The mean vector (D,), and the ids and cosines of the nearest neighbours, (Q, C), among the first `count` rows."""
    starts = range(0, count, ROWS_AT_ONCE)
    blocks = [range(start, min(start + ROWS_AT_ONCE, count)) for start in starts]
    mean_D = _mean(table, blocks)
    asked_QD = F.normalize(table.rows(asked) - mean_D, dim=-1)
    ids_QC = torch.empty(len(asked), 0, dtype=torch.int64)
    cosines_QC = torch.empty(len(asked), 0)
    for done, block in enumerate(blocks):  # all cosines, Q × V numbers, never exist at once
        watch("comparing with all tokens", done, len(blocks))
        rows_VD = F.normalize(table.rows(block) - mean_D, dim=-1)
        cosines_QV = (asked_QD @ rows_VD.T).cpu()
        for q, token_id in enumerate(asked):
            if token_id in block:
                cosines_QV[q, token_id - block.start] = -torch.inf  # a token is not its own neighbour
        best = cosines_QV.topk(min(NEIGHBOURS, len(block)))
        ids_QC = torch.cat((ids_QC, best.indices + block.start), 1)
        cosines_QC = torch.cat((cosines_QC, best.values), 1)
        kept = cosines_QC.topk(min(NEIGHBOURS, count - 1, cosines_QC.shape[1]))
        ids_QC, cosines_QC = ids_QC.gather(1, kept.indices), kept.values
    return mean_D, ids_QC, cosines_QC


def _mean(table: Embedding, blocks: Sequence[range]) -> Tensor:
    """The mean vector, (D,), summed in fp64 without the whole table in fp32.

    Raises:
        LiuliError: a vector is NaN or infinite.
    """
    sums_BD = torch.stack([table.rows(block).sum(0, dtype=torch.float64) for block in blocks])
    check_finite(sums_BD)
    return (sums_BD.sum(0) / sum(map(len, blocks))).float()


def _map(vectors_ND: Tensor) -> tuple[Tensor, tuple[float, float]]:
    """The first two principal components, and the share of the variance that each has. The sign of an axis is such that its
    largest coordinate is positive, so that the map does not depend on the machine."""
    centred_ND = vectors_ND.double() - vectors_ND.double().mean(0)
    left_NN, sizes_N, _ = torch.linalg.svd(centred_ND, full_matrices=False)
    xy_N2 = torch.zeros(len(vectors_ND), 2, dtype=torch.float64)
    axes = min(2, len(sizes_N))
    xy_N2[:, :axes] = left_NN[:, :axes] * sizes_N[:axes]
    largest_2 = xy_N2.gather(0, xy_N2.abs().argmax(0, keepdim=True))
    shares = (sizes_N**2 / (sizes_N**2).sum().clamp(min=1e-30)).tolist()
    return (xy_N2 * torch.where(largest_2 < 0, -1.0, 1.0)).float(), (shares[0], shares[1] if axes > 1 else 0.0)


def _gap(found: tuple[TokenVector, ...], vectors_ND: Tensor, mean_D: Tensor) -> float:
    """The largest difference between a cosine and the same one in fp64."""
    centred_ND = F.normalize(vectors_ND.double() - mean_D.double(), dim=-1)
    gaps: list[float] = []
    for each in found:
        again_C = centred_ND[list(each.neighbours)] @ centred_ND[each.point]
        gaps.append((again_C - torch.tensor(each.cosines, dtype=torch.float64)).abs().max().item())
    return largest(gaps)
