"""How far a model is from the truth, by kind of choice.

Tokens do not respect pieces, so a model is asked about whole strings: P(piece | prefix) is p(prefix + piece + tail), divided
by its sum over the pieces. `tail` is what the grammar most likely says next, and the truth is weighted alike. For a fact or
habit the sum runs over every value of that attribute in the world, false ones too (truth 0): a lone legal piece would always
score 1. In: a function that scores strings, and one that samples continuations if that is wanted. Out: nats per choice.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from liuli.errors import LiuliError
from liuli.tokens.tokenizer import Tokenizer
from liuli.world.grammar import KINDS, GrammarChoice, GrammarState, Kind, match, read
from liuli.world.steps import ValueStep
from liuli.world.world import END, World

# Texts -> their log-probabilities in nats: of a document that begins so; of just this document where a text ends in END.
# It is given all texts of one kind of choice at once, often tens of thousands, and makes batches by itself.
Scorer = Callable[[Sequence[str]], Sequence[float]]
# Prefixes -> a continuation each, without the prefix, at least as long as a piece; END where the model ended the text.
Sampler = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Gap:
    """Over `points` choices of one kind: mean KL(truth ‖ model) in nats, and the share of sampled continuations that begin
    with an allowed piece (None where nothing was sampled)."""

    nats: float
    points: int
    allowed: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model beside the truth.

    Attributes:
        gaps: by kind of choice.
        whole: (model's - true nats of whole documents) per choice; it also counts what the model gives to no piece at all.
        facts: by language, share of facts whose true value is the model's likeliest; `wordings`: the same by language,
            attribute and the words before the value, with the number of facts asked.
        habit_error: mean over habits of the largest error of a frequency, in percentage points.
    """

    gaps: dict[Kind, Gap]
    whole: float
    facts: dict[str, float]
    wordings: dict[tuple[str, str, str], tuple[float, int]]
    habit_error: float

    def to_json(self) -> dict[str, Any]:
        """Infinite gaps are null."""
        gaps = {
            kind: {"nats": _finite(gap.nats), "points": gap.points, "allowed": gap.allowed} for kind, gap in self.gaps.items()
        }
        wordings = [
            {"lang": lang, "attribute": attribute, "wording": wording, "accuracy": share, "facts": count}
            for (lang, attribute, wording), (share, count) in self.wordings.items()
        ]
        return {
            "gaps": gaps,
            "whole": _finite(self.whole),
            "facts": self.facts,
            "wordings": wordings,
            "habit_error": self.habit_error,
        }


class ChoicePoint(NamedTuple):
    """One choice met in a document. `texts`: prefix + piece + tail for each piece; `truth`: its probability among them.
    `wording`: the piece before, which for a fact or habit led to the value."""

    kind: Kind
    prefix: str
    pieces: tuple[str, ...]
    texts: tuple[str, ...]
    truth: tuple[float, ...]
    lang: str
    attribute: str
    wording: str


def compare(
    world: World, score: Scorer, sample: Sampler | None = None, points: int = 200, samples: int = 1000, seed: int = 0
) -> Comparison:
    """Compares a model with `world` at the first `points` choices of each kind in documents of `seed`, and over the whole of
    these documents. `samples`: continuations drawn for each kind.

    Raises:
        LiuliError: a score that is NaN; a number of points, or of continuations where they are sampled, below 1.
    """
    if points < 1:
        raise LiuliError(f"--points must be at least 1, not {points}")
    if sample and samples < 1:
        raise LiuliError(f"samples must be at least 1, not {samples}")
    found, documents = _collect(world, points, seed)
    models = {kind: _shares(score, found[kind]) for kind in KINDS}
    gaps: dict[Kind, Gap] = {
        kind: Gap(
            math.fsum(map(_divergence, found[kind], models[kind])) / len(found[kind]),
            len(found[kind]),
            _allowed(sample, found[kind], samples) if sample else None,
        )
        for kind in KINDS
    }
    right = [(point, _is_right(point, shares)) for point, shares in zip(found["fact"], models["fact"], strict=True)]
    by_lang: dict[str, list[bool]] = {}
    by_wording: dict[tuple[str, str, str], list[bool]] = {}
    for point, hit in right:
        by_lang.setdefault(point.lang, []).append(hit)
        by_wording.setdefault((point.lang, point.attribute, point.wording), []).append(hit)
    errors = [
        100 * max(abs(p - q) for p, q in zip(shares, point.truth, strict=True))
        for point, shares in zip(found["habit"], models["habit"], strict=True)
    ]
    return Comparison(
        gaps,
        _whole(world, score, documents),
        {lang: sum(hits) / len(hits) for lang, hits in by_lang.items()},
        {key: (sum(hits) / len(hits), len(hits)) for key, hits in by_wording.items()},
        math.fsum(errors) / len(errors),
    )


def shares_at(world: World, score: Scorer, prefix: str) -> list[tuple[str, float, float]]:
    """What may follow a prefix: pieces with their true and the model's share, the likeliest in truth first. For a fact or a
    habit these are all values of that attribute, false ones too.

    Raises:
        LiuliError: no document begins so, or none goes on.
    """
    branch = world.branch(prefix)
    *_, (state, choice, place) = read(world.start, prefix)
    if choice is None:
        raise LiuliError(f"{prefix!r} is a whole document, so nothing can follow: remove a part of its end")
    if place != len(prefix):
        raise LiuliError(
            f"{prefix!r} ends within a piece of text: add the rest of the piece, which can be {', '.join(branch.pieces)}, or "
            f"end the text earlier"
        )
    point = _point(state, choice, prefix, "")
    (shares,) = _shares(score, [point])
    pieces = [state.lead + value for value in choice.values]
    return sorted(zip(pieces, point.truth, shares, strict=True), key=lambda each: (-each[1], -each[2]))


def token_scorer(tokenizer: Tokenizer, log_probabilities: Callable[[list[list[int]]], Sequence[float]], end: int) -> Scorer:
    """A scorer of strings from one of ids: `log_probabilities` takes rows of ids and gives, for each, the summed
    log-probability in nats of all ids after the first; it gets all rows at once and makes batches by itself. `end`: the id
    that ends a document.

    Raises:
        LiuliError: the tokenizer has no begin token, so that a text's first token cannot be predicted from anything.
    """
    if not tokenizer.begin:
        raise LiuliError(
            "this tokenizer has no begin token, so the first token of a text cannot be scored: use a model whose tokenizer has "
            "one"
        )

    def score(texts: Sequence[str]) -> Sequence[float]:
        return log_probabilities(
            [
                [*tokenizer.begin, *tokenizer.encode(text.removesuffix(END)), *([end] if text.endswith(END) else [])]
                for text in texts
            ]
        )

    return score


def _collect(world: World, points: int, seed: int) -> tuple[dict[Kind, list[ChoicePoint]], list[str]]:
    """The first `points` choices of each kind, and the documents that it took."""
    found: dict[Kind, list[ChoicePoint]] = {kind: [] for kind in KINDS}
    documents: list[str] = []
    for document in world.documents(1_000_000_000, seed):
        documents.append(document)
        wording = ""
        for state, choice, place in read(world.start, document):
            if choice is None:
                break
            if len(found[choice.kind]) < points:
                found[choice.kind].append(_point(state, choice, document[:place], wording))
            i = match(state, choice, document, place)
            assert i is not None
            wording = choice.pieces[i]
        if all(len(each) == points for each in found.values()):
            break
    return found, documents


def _point(state: GrammarState, choice: GrammarChoice, prefix: str, wording: str) -> ChoicePoint:
    texts, weights = [], []
    for piece in choice.values:
        # A false value is followed by what would follow a true one.
        i, weight = (choice.pieces.index(piece), 1) if piece in choice.pieces else (0, 0)
        tail, probability = _tail(state, i)
        texts.append(prefix + state.lead + piece + tail)
        weights.append(weight * choice.probability(i) * probability)
    total = math.fsum(weights)
    step = state.step
    return ChoicePoint(
        choice.kind,
        prefix,
        tuple(state.lead + piece for piece in choice.pieces),
        tuple(texts),
        tuple(weight / total for weight in weights),
        step.code if isinstance(step, ValueStep) else "",
        step.attribute(state) if isinstance(step, ValueStep) else "",
        wording,
    )


def _tail(state: GrammarState, i: int) -> tuple[str, float]:
    """What most likely follows piece i (the first of equals), and its probability: one piece, and more until a word meets
    what is none. Cut inside a word, or between two marks, a text could end in tokens that no document has."""
    assert state.step is not None
    text, probability = "", 1.0
    state = state.step.after(state, i)
    while state.step is not None:
        choice = state.step.choice(state)
        best = choice.weights.index(max(choice.weights))
        more = state.lead + choice.pieces[best]
        if text and text[-1].isalnum() != more[0].isalnum():
            return text, probability
        text, probability = text + more, probability * choice.probability(best)
        state = state.step.after(state, best)
    return text + END, probability


def _shares(score: Scorer, points: Sequence[ChoicePoint]) -> list[list[float]]:
    """The model's log-probability of each point's pieces among themselves, as probabilities."""
    texts = list(dict.fromkeys(text for point in points for text in point.texts))
    known = dict(zip(texts, map(float, score(texts)), strict=True))
    for text, value in known.items():
        if math.isnan(value) or value == math.inf:
            raise LiuliError(f"the model's log-probability of {text!r} is {value}: check the model's weights")
    return [_normalise([known[text] for text in point.texts]) for point in points]


def _normalise(nats: Sequence[float]) -> list[float]:
    top = max(nats)
    if top == -math.inf:
        return [0.0] * len(nats)
    weights = [math.exp(each - top) for each in nats]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def _divergence(point: ChoicePoint, shares: Sequence[float]) -> float:
    """KL(truth ‖ model) in nats; infinite where the model excludes what is true."""
    terms = [q * math.log(q / p) if p > 0 else math.inf for q, p in zip(point.truth, shares, strict=True) if q > 0]
    return math.inf if math.inf in terms else math.fsum(terms)


def _is_right(point: ChoicePoint, shares: Sequence[float]) -> bool:
    return shares.index(max(shares)) == point.truth.index(max(point.truth)) and max(shares) > 0


def _allowed(sample: Sampler, points: Sequence[ChoicePoint], samples: int) -> float:
    asked = [points[i % len(points)] for i in range(samples)]
    written = sample([point.prefix for point in asked])
    return sum(text.startswith(point.pieces) for point, text in zip(asked, written, strict=True)) / samples


def _whole(world: World, score: Scorer, documents: Sequence[str]) -> float:
    """(model's - true nats) per choice, each document counted to its end."""
    model = -math.fsum(score([document + END for document in documents]))
    truth = -math.fsum(map(world.log_probability, documents))
    choices = sum(choice is not None for document in documents for _, choice, _ in read(world.start, document))
    return (model - truth) / choices


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
