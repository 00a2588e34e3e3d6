"""One word in several sentences, layer by layer: how its vector changes with what was read before it.

Each sentence is read alone, padded on the right to one length, so that equal beginnings go through equal computations: if two
sentences have the same tokens up to a position, their vectors there must be identical.

Sources: cosines need a baseline, Ethayarajh 2019, https://arxiv.org/abs/1909.00512; a few dimensions dominate them, so a second
cosine is of standardised vectors, Timkey and van Schijndel 2021, https://arxiv.org/abs/2109.04404.

Legend of shape suffixes: S sentences, P places where a sentence is read, R states (after the embedding, then after each block),
T tokens, D width, C candidates, M vectors of the baseline, N pairs of them.
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
from liuli.inside.attention import post_norm_caveat
from liuli.inside.attention_weights import attention_weights, value_sizes
from liuli.inside.baseline import BaselineStates, baseline_states
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
MOST_TOKENS = 1024  # of a sentence, whose states in all layers are kept
CANDIDATES = 3
READS = 6  # of the strongest reads of a word, how many are listed
PAIRS = 2000  # of vectors of the baseline
DEAD = 1e-6  # a dimension that varies by less than this share of its mean is left out of the standardised cosine


@dataclass(frozen=True, slots=True)
class StrongRead(ViewPart):
    """A head that reads at the last token of the word from an earlier token.

    Attributes:
        source: the place of the token that it reads.
        size: weight × size of the value (Euclidean norm, after the output matrix).
        share: the size, as a share of the length of the residual stream into which this layer reads. The residual stream grows
            from layer to layer, so sizes of different layers cannot be compared.
    """

    layer: int
    head: int
    source: int
    weight: float
    size: float
    share: float


@dataclass(frozen=True, slots=True)
class WordInSentence(ViewPart):
    """The word in one sentence.

    Attributes:
        input: the sentence.
        occurrence: (k, n): the k-th of the n occurrences of the word in the sentence is shown, counted from 0.
        span: the first token that covers the word, and the token after the last.
        covered: the characters that these tokens cover. If it is more than the word, the tokenizer has merged the word with its
            neighbours, and there is no vector of the word alone.
        places: the positions that are read: the word's first token, its last, and the last token of the sentence.
        reads: the strongest reads by their share, at the word's last token, from other tokens than itself and the first token
            of the text.
    """

    input: Passage
    occurrence: tuple[int, int]
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
        baseline_cosine, baseline_standardised: the mean and the standard deviation of both cosines between unrelated tokens:
            different tokens of different plain sentences.
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
        word: that each of them contains; None: the longest text that all of them share after their first difference.

    Raises:
        LiuliError: what `read_passage` raises, with at most 1,024 tokens per sentence; there is only one sentence; the word
            does not occur in one of them; the tokenizer cannot read the sentences of the baseline.
    """
    if not others:
        raise LiuliError("this view compares sentences: give at least one more, with --with-text TEXT")
    reads = [read_passage(model, each, MOST_TOKENS) for each in (text, *others)]
    after = 0
    if word is None:
        word, after = _shared_text([text, *others])
    occurrences = [_occurrence(read, word, after) for read in reads]
    decoder, tokenizer = model.decoder, model.tokenizer
    assert tokenizer is not None
    watch("reading the baseline", 0, len(reads) + 1)
    baseline = baseline_states(model)
    found, states_PRSD = _read_sentences(decoder, reads, occurrences, watch)
    same = _same_prefix(found)
    standard_PRSD, baseline_standard_RMD = _standardised(states_PRSD, baseline.vectors_RMD)
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
        caveats=("causal.left_only", "cosine.baseline", *post_norm_caveat(decoder), "lens.not_belief", "token.bytes"),
        word=word,
        sentences=found,
        rows=row_names(decoder),
        cosine=_cosines(states_PRSD).cpu().numpy(),
        standardised=_cosines(standard_PRSD).cpu().numpy(),
        difference=_differences(states_PRSD).cpu().numpy(),
        same_prefix=same,
        baseline_cosine=_of_pairs(baseline, baseline.vectors_RMD),
        baseline_standardised=_of_pairs(baseline, baseline_standard_RMD),
        candidates=tuple(map(tokenizer.token, np.unique(top.ids).tolist())),
        top=top.ids.reshape(shape),
        top_logprobs=top.logprobs.reshape(shape),
    )


def _shared_text(texts: Sequence[str]) -> tuple[str, int]:
    """The longest text, without spaces around it, that all of them contain, and the character from which on it was searched
    for: the first difference of the texts, because before it, nothing can differ. If they share nothing after it, 0.

    Raises:
        LiuliError: there is none.
    """
    shortest = min(map(len, texts))
    after = next((at for at in range(shortest) if len({text[at] for text in texts}) > 1), shortest)
    word = _longest_shared([text[after:] for text in texts])
    if word:
        return word, after
    word = _longest_shared(texts)
    if not word:
        raise LiuliError("the sentences have no word in common: give sentences that contain the same word, and --word WORD")
    return word, 0


def _longest_shared(texts: Sequence[str]) -> str:
    """The longest text, without spaces around it, that all of them contain; the first one in the first text; "" if none."""

    def shared(size: int) -> set[str]:
        return set.intersection(*({text[at : at + size] for at in range(len(text) - size + 1)} for text in texts))

    low, high = 0, min(map(len, texts))
    while low < high:  # if a text of some length is shared, so are its parts: the greatest length is found by bisection
        middle = (low + high + 1) // 2
        low, high = (middle, high) if shared(middle) else (low, middle - 1)
    for size in range(low, 0, -1):
        words = [part for part in shared(size) if part == part.strip()]
        if words:
            return min(words, key=texts[0].find)
    return ""


def _occurrence(read: Passage, word: str, after: int) -> tuple[tuple[int, int], int, int]:
    """Which occurrence of the word is shown, of how many: the first from the character `after` on; the first token that covers
    it, and the token after the last."""
    starts = read.occurrences(word)
    number = next((k for k, start in enumerate(starts) if start >= after), 0)
    return (number, len(starts)), *read.tokens_at(starts[number], starts[number] + len(word))


def _read_sentences(
    decoder: Decoder, reads: Sequence[Passage], occurrences: Sequence[tuple[tuple[int, int], int, int]], watch: Watch
) -> tuple[tuple[WordInSentence, ...], Tensor]:
    """The word in every sentence, and the states at its places, fp32."""
    longest = max(len(read.ids) for read in reads)
    states, found = [], []
    for number, (read, (occurrence, start, end)) in enumerate(zip(reads, occurrences, strict=True), 1):
        watch("reading the sentences", number, len(reads) + 1)
        places = start, end - 1, len(read.ids) - 1
        tape = _read_padded(decoder, read, longest)
        states.append(torch.stack([x_1TD[0, list(places)].float() for x_1TD in tape.residuals()]))  # (R, P, D)
        strongest = _strong_reads(decoder, tape, end - 1)
        found.append(WordInSentence(read, occurrence, (start, end), read.covered(start, end), places, strongest))
    return tuple(found), torch.stack(states).permute(2, 1, 0, 3)


def _read_padded(decoder: Decoder, read: Passage, length: int) -> Tape:
    """A pass over the tokens, followed by copies of the last one up to `length`, which no earlier token sees."""
    ids = [*read.ids, *[read.ids[-1]] * (length - len(read.ids))]
    return record(decoder, ids, *residual_points(decoder), "blocks.*.q", "blocks.*.k", "blocks.*.v")[1]


def _standardised(states_PRSD: Tensor, baseline_RMD: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the mean and the deviation of every dimension of the baseline. A dimension that does not vary says nothing, and
    becomes 0. A few dimensions are very large, so the differences need fp32 whatever the model computes in."""
    mean_R1D, deviation_R1D = baseline_RMD.mean(1, keepdim=True), baseline_RMD.std(1, keepdim=True)
    deviation_R1D = deviation_R1D.masked_fill(deviation_R1D <= DEAD * mean_R1D.abs(), torch.inf)
    return (states_PRSD - mean_R1D) / deviation_R1D, (baseline_RMD - mean_R1D) / deviation_R1D


def _strong_reads(decoder: Decoder, tape: Tape, position: int) -> tuple[StrongRead, ...]:
    """The strongest reads at a position, from other tokens than itself and the first one."""
    found: list[StrongRead] = []
    for layer in range(decoder.config.layers):
        q_THD, k_TKD, v_TKD = (tape[f"blocks.{layer}.{point}"][0, : position + 1] for point in ("q", "k", "v"))
        weights_HT = attention_weights(decoder, layer, q_THD[-1:], k_TKD)[:, 0]
        sizes_HT = weights_HT * value_sizes(decoder, layer, v_TKD)
        length = tape[f"blocks.{layer}.residual_in"][0, position].float().norm().item()
        candidates_HT = sizes_HT[:, 1:position]
        if not candidates_HT.numel():
            continue
        best = candidates_HT.flatten().topk(min(READS, candidates_HT.numel()))
        for size, at in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            head, source = divmod(at, candidates_HT.shape[1])
            weight = weights_HT[head, source + 1].item()
            found.append(StrongRead(layer, head, source + 1, weight, size, size / max(length, 1e-30)))
    return tuple(sorted(found, key=lambda read: -read.share)[:READS])


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


def _of_pairs(baseline: BaselineStates, vectors_RMD: Tensor) -> Array:
    """The mean and the standard deviation of the cosine over pairs of unrelated tokens, (R, 2)."""
    one_N, other_N = baseline.pairs(PAIRS)
    cosines_RN = F.cosine_similarity(vectors_RMD[:, one_N].double(), vectors_RMD[:, other_N].double(), dim=-1)
    return torch.stack((cosines_RN.mean(-1), cosines_RN.std(-1)), -1).cpu().numpy()
