"""One word in several sentences, layer by layer: how its vector changes with what was read before it.

Each sentence is read alone, padded on the right to one length, so that equal beginnings go through equal computations: if two
sentences have the same tokens up to a position, their vectors there must be identical.

Sources: cosines need a baseline, Ethayarajh 2019, https://arxiv.org/abs/1909.00512; a few dimensions dominate them, so a second
cosine is of standardised vectors, Timkey and van Schijndel 2021, https://arxiv.org/abs/2109.04404.

Legend of shape suffixes: S sentences, P places where a sentence is read, R states (after the embedding, then after each block),
T tokens, D width, C candidates, M vectors of the baseline.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from liuli.errors import LiuliError
from liuli.generate.model import Model
from liuli.inside.arrays import Array, array
from liuli.inside.attention_weights import attention_weights, value_sizes
from liuli.inside.baseline import baseline_ids
from liuli.inside.distributions import SUM_LIMIT, summarise_states
from liuli.inside.lens import row_names
from liuli.inside.passage import Passage, read_passage
from liuli.inside.self_check import SelfCheck, largest
from liuli.inside.tape import Tape, record, residual_points
from liuli.inside.view import ModelFacts, View, ViewPart
from liuli.model.decoder import Decoder
from liuli.tokens import Token
from liuli.watch import Watch, unwatched

PLACES = ("first token of the word", "last token of the word", "end of the sentence")
CANDIDATES = 3
READS = 6  # of the strongest reads of a word, how many are listed
PAIRS = 2000  # of vectors of the baseline


@dataclass(frozen=True, slots=True)
class StrongRead(ViewPart):
    """A head that reads at the last token of the word from an earlier token. `added`: weight × size of the value."""

    layer: int
    head: int
    source: int
    weight: float
    added: float


@dataclass(frozen=True, slots=True)
class WordInSentence(ViewPart):
    """The word in one sentence.

    Attributes:
        input: the sentence. span: the first token that covers the word, and the token after the last.
        covered: the characters that these tokens cover. If it is more than the word, the tokenizer has merged the word with its
            neighbours, and there is no vector of the word alone.
        places: the positions that are read: the word's first token, its last, and the last token of the sentence.
        reads: the strongest reads at the word's last token from other tokens than itself and the first token of the text.
    """

    input: Passage
    span: tuple[int, int]
    covered: str
    places: tuple[int, int, int]
    reads: tuple[StrongRead, ...]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ContextView(View):
    """One word in several sentences. `input` is the first sentence.

    Attributes:
        word: that all sentences contain.
        sentences: each with the place of the word.
        places: what the three places are.
        rows: "embedding", then "0", "1", … for the state after each block.
        cosine: of the vectors in two sentences. standardised: the cosine after each dimension was standardised with the mean
            and the deviation of the baseline's vectors.
        difference: the length of the difference of two vectors, as a share of the mean of their lengths.
        same_prefix: whether two sentences have the same tokens up to a place. Their vectors there are then identical.
        baseline_cosine, baseline_standardised: the mean and the standard deviation of both cosines between unrelated tokens.
        candidates: all tokens in `top`. top: what each layer would predict there. top_logprobs: in nats.
    """

    NAME: ClassVar[str] = "context"

    word: str
    sentences: tuple[WordInSentence, ...]
    places: tuple[str, ...] = PLACES
    rows: tuple[str, ...]
    cosine: Array = array("(P, R, S, S)", "cosine")
    standardised: Array = array("(P, R, S, S)", "cosine")
    difference: Array = array("(P, R, S, S)", "share of the mean length")
    same_prefix: tuple[tuple[tuple[bool, ...], ...], ...]
    baseline_cosine: Array = array("(R, 2)", "cosine")
    baseline_standardised: Array = array("(R, 2)", "cosine")
    candidates: tuple[Token, ...]
    top: Array = array("(P, R, S, C)", "token id", "i4")
    top_logprobs: Array = array("(P, R, S, C)", "nats")


def context(model: Model, text: str, others: Sequence[str], word: str | None = None, watch: Watch = unwatched) -> ContextView:
    """Returns how the vectors of `word` differ between sentences.

    Args:
        text, others: the sentences.
        word: that each of them contains; None: the longest text that all of them share.

    Raises:
        LiuliError: what `read_passage` raises; there is only one sentence; the word does not occur in one of them.
    """
    if not others:
        raise LiuliError("this view compares sentences: give at least one more, with --with TEXT")
    reads = [read_passage(model, each) for each in (text, *others)]
    if word is None:
        word = _shared_text([text, *others])
    spans = [read.find(word) for read in reads]
    decoder, tokenizer = model.decoder, model.tokenizer
    assert tokenizer is not None
    watch("reading the baseline", 0, len(reads) + 1)
    baseline_RMD = _baseline(model)
    longest = max(len(read.ids) for read in reads)
    states, found = [], []
    for number, (read, (start, end)) in enumerate(zip(reads, spans, strict=True), 1):
        watch("reading the sentences", number, len(reads) + 1)
        places = start, end - 1, len(read.ids) - 1
        tape = _read_padded(decoder, read, longest)
        states.append(torch.stack([x_1TD[0, list(places)].float() for x_1TD in tape.residuals()]))  # (R, P, D)
        strongest = _strong_reads(decoder, tape, end - 1)
        found.append(WordInSentence(read, (start, end), read.covered(start, end), places, strongest))

    states_PRSD = torch.stack(states).permute(2, 1, 0, 3)
    same = _same_prefix(found)
    mean_R1D, deviation_R1D = baseline_RMD.mean(1, keepdim=True), baseline_RMD.std(1, keepdim=True).clamp(min=1e-12)
    standard_PRSD = (states_PRSD - mean_R1D) / deviation_R1D
    with torch.inference_mode():
        normed_PRSD = decoder.norm(states_PRSD.to(decoder.dtype))
    top = summarise_states(decoder, normed_PRSD.flatten(0, 2), CANDIDATES)
    shape = *states_PRSD.shape[:3], -1
    return ContextView(
        model=ModelFacts.of(model),
        input=reads[0],
        seed=0,
        checks=(
            SelfCheck("identical_prefixes", _largest_gap(states_PRSD, same), "largest number", 0.0),
            SelfCheck("distributions_sum_to_1", top.sum_error.max().item(), "probability", SUM_LIMIT),
        ),
        caveats=("causal.left_only", "cosine.baseline", "lens.not_belief", "token.bytes"),
        word=word,
        sentences=tuple(found),
        rows=row_names(decoder),
        cosine=_cosines(states_PRSD).cpu().numpy(),
        standardised=_cosines(standard_PRSD).cpu().numpy(),
        difference=_differences(states_PRSD).cpu().numpy(),
        same_prefix=same,
        baseline_cosine=_of_pairs(baseline_RMD),
        baseline_standardised=_of_pairs((baseline_RMD - mean_R1D) / deviation_R1D),
        candidates=tuple(map(tokenizer.token, np.unique(top.ids).tolist())),
        top=top.ids.reshape(shape),
        top_logprobs=top.logprobs.reshape(shape),
    )


def _shared_text(texts: Sequence[str]) -> str:
    """The longest text, without spaces around it, that all of them contain; the first one in the first text.

    Raises:
        LiuliError: there is none.
    """
    first = texts[0]
    for size in range(len(first), 0, -1):
        for start in range(len(first) - size + 1):
            part = first[start : start + size]
            if part == part.strip() and all(part in text for text in texts[1:]):
                return part
    raise LiuliError("the sentences have no word in common: give sentences that contain the same word, and --word WORD")


def _read_padded(decoder: Decoder, read: Passage, length: int) -> Tape:
    """A pass over the tokens, followed by copies of the last one up to `length`, which no earlier token sees."""
    ids = [*read.ids, *[read.ids[-1]] * (length - len(read.ids))]
    return record(decoder, ids, *residual_points(decoder), "blocks.*.q", "blocks.*.k", "blocks.*.v")[1]


def _baseline(model: Model) -> Tensor:
    """The vectors of all tokens of the baseline's sentences, (R, M, D), without the first token of each sentence."""
    states = []
    for ids in baseline_ids(model):
        tape = record(model.decoder, ids, *residual_points(model.decoder))[1]
        states.append(torch.stack([x_1TD[0, 1:].float() for x_1TD in tape.residuals()]))
    return torch.cat(states, 1)


def _strong_reads(decoder: Decoder, tape: Tape, position: int) -> tuple[StrongRead, ...]:
    """The reads at a position that add most, from other tokens than itself and the first one."""
    found: list[StrongRead] = []
    for layer in range(decoder.config.layers):
        q_THD, k_THD, v_THD = (tape[f"blocks.{layer}.{point}"][0, : position + 1] for point in ("q", "k", "v"))
        weights_HT = attention_weights(decoder, layer, q_THD, k_THD)[:, -1]
        added_HT = weights_HT * value_sizes(decoder, layer, v_THD)
        candidates_HT = added_HT[:, 1:position]
        if not candidates_HT.numel():
            continue
        best = candidates_HT.flatten().topk(min(READS, candidates_HT.numel()))
        for added, at in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            head, source = divmod(at, candidates_HT.shape[1])
            found.append(StrongRead(layer, head, source + 1, weights_HT[head, source + 1].item(), added))
    return tuple(sorted(found, key=lambda read: -read.added)[:READS])


def _same_prefix(found: Sequence[WordInSentence]) -> tuple[tuple[tuple[bool, ...], ...], ...]:
    """(P, S, S): whether two sentences have the same tokens up to a place."""
    prefixes = [[one.input.ids[: one.places[p] + 1] for one in found] for p in range(len(PLACES))]
    return tuple(tuple(tuple(one == other for other in row) for one in row) for row in prefixes)


def _largest_gap(states_PRSD: Tensor, same: Sequence[Sequence[Sequence[bool]]]) -> float:
    """The largest difference between vectors that have read the same tokens."""
    gaps: list[float] = []
    for p, rows in enumerate(same):
        for one, row in enumerate(rows):
            for other, equal in enumerate(row):
                if equal:
                    gaps.append((states_PRSD[p, :, one] - states_PRSD[p, :, other]).abs().max().item())
    return largest(gaps)


def _cosines(x_PRSD: Tensor) -> Tensor:
    unit_PRSD = F.normalize(x_PRSD.double(), dim=-1)
    return unit_PRSD @ unit_PRSD.mT


def _differences(x_PRSD: Tensor) -> Tensor:
    """‖a − b‖ / ((‖a‖ + ‖b‖) / 2)."""
    x_PRSD = x_PRSD.double()
    sizes_PRS = x_PRSD.norm(dim=-1)
    gaps_PRSS = (x_PRSD[..., :, None, :] - x_PRSD[..., None, :, :]).norm(dim=-1)
    return gaps_PRSS / ((sizes_PRS[..., :, None] + sizes_PRS[..., None, :]) / 2)


def _of_pairs(vectors_RMD: Tensor) -> Array:
    """The mean and the standard deviation of the cosine over pairs of different vectors, (R, 2)."""
    count = vectors_RMD.shape[1]
    draw = torch.Generator().manual_seed(0)
    one = torch.randint(count, (PAIRS,), generator=draw)
    other = (one + 1 + torch.randint(count - 1, (PAIRS,), generator=draw)) % count
    cosines_RN = F.cosine_similarity(vectors_RMD[:, one].double(), vectors_RMD[:, other].double(), dim=-1)
    return torch.stack((cosines_RN.mean(-1), cosines_RN.std(-1)), -1).cpu().numpy()
