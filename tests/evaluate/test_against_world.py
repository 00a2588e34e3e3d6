"""The measure itself, on models whose gap is known: the world's own probabilities, and a smoothed copy of them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from helpers.memory import peak_bytes

from liuli import LiuliError, load
from liuli.evaluate import against_world
from liuli.generate.replies import answer
from liuli.generate.sampling import Sampling
from liuli.model.cache import bytes_per_token
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.world import END, World, compare, token_scorer
from liuli.world.grammar import KINDS, GrammarChoice, GrammarState, match, read

EPSILON = 0.1
POINTS = 60


def oracle(world: World):
    return lambda texts: [world.log_probability_of_prefix(text) for text in texts]


def smoothed(choice: GrammarChoice, text: str) -> float:
    """(1 - ε) · p + ε · uniform, over every value that could be said."""
    p = choice.probability(choice.pieces.index(text)) if text in choice.pieces else 0.0
    return (1 - EPSILON) * p + EPSILON / len(choice.values)


class Smoothed:
    """The world with every choice smoothed, as a scorer of strings. After a false value it goes on as after a true one."""

    def __init__(self, world: World):
        self.start = world.start

    def __call__(self, texts: Sequence[str]) -> list[float]:
        return [self.score(self.start, text.removesuffix(END)) for text in texts]

    def score(self, state: GrammarState, text: str) -> float:
        if state.step is None:
            return -math.inf if text else 0.0
        choice = state.step.choice(state)
        if not text.startswith(state.lead):
            return 0.0 if state.lead.startswith(text) else -math.inf
        rest = text.removeprefix(state.lead)
        if not rest:
            return 0.0
        for value in choice.values:
            if rest.startswith(value):
                i = choice.pieces.index(value) if value in choice.pieces else 0
                return math.log(smoothed(choice, value)) + self.score(state.step.after(state, i), rest.removeprefix(value))
        return -math.inf  # inside a piece: no string that is compared ends there


def first_choices(world: World, kind: str) -> Iterator[tuple[GrammarState, GrammarChoice]]:
    """The first POINTS choices of one kind."""
    count = 0
    for document in world.documents(10_000):
        for state, choice, _ in read(world.start, document):
            if choice is not None and choice.kind == kind:
                yield state, choice
                count += 1
                if count == POINTS:
                    return


def expected_gap(state: GrammarState, choice: GrammarChoice) -> float:
    """KL by hand: q is p(piece) · p(its likeliest next piece), normalised; the smoothed model the same with its own. More
    pieces follow until a letter, character or digit meets something else, or the other way round."""
    truth, model = [], []
    for value in choice.values:
        i = choice.pieces.index(value) if value in choice.pieces else 0
        after = state.step.after(state, i)
        tail, smooth_tail, last = 1.0, 1.0, ""
        while after.step is not None:
            behind = after.step.choice(after)
            best = max(range(len(behind.pieces)), key=lambda k: behind.weights[k])
            text = after.lead + behind.pieces[best]
            if last and last.isalnum() != text[0].isalnum():
                break
            tail, smooth_tail = tail * behind.probability(best), smooth_tail * smoothed(behind, behind.pieces[best])
            after, last = after.step.after(after, best), text[-1]
        truth.append((choice.probability(i) if value in choice.pieces else 0.0) * tail)
        model.append(smoothed(choice, value) * smooth_tail)
    truth, model = ([number / sum(numbers) for number in numbers] for numbers in (truth, model))
    return sum(q * math.log(q / p) for q, p in zip(truth, model, strict=True) if q)


@pytest.mark.parametrize("lang", ["zh", "en", "both"])
def test_an_oracle_has_no_gap(lang):
    world = World("begin", 0, lang)
    found = compare(world, oracle(world), points=POINTS)
    for gap in found.gaps.values():
        assert abs(gap.nats) < 1e-9
        assert gap.points == POINTS
        assert gap.allowed is None
    assert abs(found.whole) < 1e-9
    assert found.habit_error < 1e-9
    assert set(found.facts) == ({"zh", "en"} if lang == "both" else {lang})
    assert all(share == 1 for share in found.facts.values())
    assert sum(count for _, count in found.wordings.values()) == POINTS


def test_an_oracle_has_no_gap_in_a_large_world(large):
    found = compare(large, oracle(large), points=5)
    assert all(abs(gap.nats) < 1e-9 for gap in found.gaps.values())


def test_a_smoothed_copy_has_the_gap_that_it_should_have(both):
    found = compare(both, Smoothed(both), points=POINTS)
    for kind in KINDS:
        expected = [expected_gap(state, choice) for state, choice in first_choices(both, kind)]
        assert found.gaps[kind].nats == pytest.approx(sum(expected) / POINTS, abs=1e-9), kind
        assert found.gaps[kind].nats > 0
    by_hand = [-math.log(1 - EPSILON + EPSILON / len(choice.values)) for _, choice in first_choices(both, "fact")]
    assert found.gaps["fact"].nats == pytest.approx(sum(by_hand) / POINTS, abs=1e-9)
    errors = [
        100 * max(abs(smoothed(choice, value) - truth(choice, value)) for value in choice.values)
        for _, choice in first_choices(both, "habit")
    ]
    assert found.habit_error == pytest.approx(sum(errors) / POINTS, abs=1e-9)
    assert all(share == 1 for share in found.facts.values())  # smoothed, but still the likeliest


def truth(choice: GrammarChoice, value: str) -> float:
    return choice.probability(choice.pieces.index(value)) if value in choice.pieces else 0.0


def test_the_whole_of_a_smoothed_copy(both):
    """Each choice of each document adds log(true / smoothed) of the piece that stands there."""
    extra, count, needed = 0.0, 0, dict.fromkeys(KINDS, POINTS)
    for document in both.documents(10_000):
        for state, choice, place in read(both.start, document):
            if choice is not None:
                piece = choice.pieces[match(state, choice, document, place) or 0]
                extra += math.log(truth(choice, piece) / smoothed(choice, piece))
                count, needed[choice.kind] = count + 1, needed[choice.kind] - 1
        if max(needed.values()) <= 0:
            break
    assert compare(both, Smoothed(both), points=POINTS).whole == pytest.approx(extra / count, abs=1e-9)


def test_a_model_that_knows_no_facts(both):
    """All values alike: the gap is the log of their number, and few are guessed right."""

    def guess(texts):
        return [0.0 for _ in texts]

    found = compare(both, guess, points=POINTS)
    by_hand = [math.log(len(choice.values)) for _, choice in first_choices(both, "fact")]
    assert found.gaps["fact"].nats == pytest.approx(sum(by_hand) / POINTS)
    assert all(share < 0.3 for share in found.facts.values())


def test_the_share_of_allowed_continuations(both):
    def one_in_two(prefixes):
        pieces = [max(both.next_pieces(prefix).items(), key=lambda item: item[1])[0] for prefix in prefixes]
        return [piece + " and on" if i % 2 else "@" + piece for i, piece in enumerate(pieces)]

    found = compare(both, oracle(both), one_in_two, points=10, samples=40)
    assert [gap.allowed for gap in found.gaps.values()] == [0.5] * 4


def test_an_impossible_truth_is_an_infinite_gap(both):
    found = compare(both, lambda texts: [-math.inf] * len(texts), points=3)
    assert found.gaps["fact"].nats == math.inf
    assert set(found.facts.values()) == {0.0}
    assert found.to_json()["gaps"]["fact"] == {"nats": None, "points": 3, "allowed": None}
    assert found.to_json()["whole"] is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_broken_score_is_refused(both, bad):
    with pytest.raises(LiuliError, match=f"the model's log-probability of '.*' is {bad}"):
        compare(both, lambda texts: [bad] * len(texts), points=2)


def test_too_few_points_are_refused(both):
    with pytest.raises(LiuliError, match="--points must be at least 1, not 0"):
        compare(both, oracle(both), points=0)


def test_too_few_continuations_are_refused(both):
    with pytest.raises(LiuliError, match="samples must be at least 1, not 0"):
        compare(both, oracle(both), lambda prefixes: [""] * len(prefixes), points=1, samples=0)
    assert compare(both, oracle(both), points=1, samples=0).gaps["fact"].allowed is None  # nothing samples


def test_a_scorer_of_ids(both):
    """Ids that are characters, after a begin token and before an end."""
    tokenizer = SimpleNamespace(begin=[0], encode=lambda text: [ord(c) for c in text])

    def log_probabilities(rows):
        assert all(row[0] == 0 for row in rows)
        return [both.log_probability_of_prefix("".join(END if id == 1 else chr(id) for id in row[1:])) for row in rows]

    found = compare(both, token_scorer(tokenizer, log_probabilities, end=1), points=10)
    assert all(abs(gap.nats) < 1e-9 for gap in found.gaps.values())
    assert abs(found.whole) < 1e-9
    with pytest.raises(LiuliError, match="has no begin token"):
        token_scorer(SimpleNamespace(begin=[]), log_probabilities, end=1)


# With a decoder.


def decoder_of(vocabulary: int, context: int = 131_072) -> Decoder:
    torch.manual_seed(0)
    decoder = Decoder(Config("llama", vocabulary, 8, 1, 1, 1, 8, 8, context))
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0, 0.3)
    return decoder


def test_log_probabilities_of_rows():
    """Rows of many lengths, against whole logits of each alone."""
    decoder = decoder_of(60)
    rows = [torch.randint(0, 60, (length,)).tolist() for length in (3, 1, 9, 9, 2, 30)]
    found = against_world.log_probabilities(decoder, rows)
    for row, nats in zip(rows, found, strict=True):
        with torch.no_grad():
            logprobs = decoder(torch.tensor([row]))[0].double().log_softmax(-1)
        assert nats == pytest.approx(sum(logprobs[i, token].item() for i, token in enumerate(row[1:])), abs=1e-4)


def test_log_probabilities_are_made_in_chunks():
    """4,096 tokens × 50,000 ids in fp32 are 819 MB."""
    decoder = decoder_of(50_000)
    rows = [torch.randint(0, 50_000, (256,)).tolist() for _ in range(16)]
    assert peak_bytes(lambda: against_world.log_probabilities(decoder, rows)) < 150e6


def test_continuations_take_the_memory_of_their_tokens(tiny, monkeypatch):
    """64 slots of a long context would be gigabytes for a real model; these have 24 tokens and a short prefix."""
    decoder = tiny.decoder
    monkeypatch.setattr(decoder, "config", replace(decoder.config, context=131_072))
    prefixes = [f"the {i}" for i in range(70)]
    found = []
    peak = peak_bytes(lambda: found.extend(against_world.continuations(decoder, tiny.tokenizer, prefixes)))
    assert peak < 64 * 257 * 2 * bytes_per_token(decoder.config, torch.float32)
    assert len(found) == 70
    monkeypatch.undo()
    assert found == against_world.continuations(decoder, tiny.tokenizer, prefixes)


def test_a_comparison_reports_each_part_and_how_much_of_it_is_done(both, tiny):
    seen = []
    decoder = Decoder(replace(tiny.decoder.config, context=512))
    decoder.load_state_dict(tiny.decoder.state_dict())
    against_world.compare_with_world(decoder, tiny.tokenizer, both, 2, 5, lambda *each: seen.append(each))
    assert seen[0] == ("choosing texts of the world", 0, 0)
    kinds = ["scoring texts"] * 4 + ["sampling continuations"] * 4 + ["scoring texts"]
    names = [f"part {part} of 9: {kind}" for part, kind in enumerate(kinds, 1)]
    assert list(dict.fromkeys(what for what, _, _ in seen[1:])) == names
    for name in names:
        counts = [(done, total) for what, done, total in seen if what == name]
        assert counts[0][0] == 0
        assert counts == sorted(counts)
        assert len({total for _, total in counts}) == 1


def test_a_model_that_is_broken_is_no_empty_continuation(tiny_folder):
    model = load(tiny_folder)
    with torch.no_grad():
        model.decoder.norm.weight.fill_(torch.nan)
    with pytest.raises(LiuliError, match="token 0 of a continuation: no token can be chosen: the model's logits are NaN"):
        against_world.continuations(model.decoder, model.tokenizer, ["the"])
    with pytest.raises(LiuliError, match="token 0 of a reply: no token can be chosen"):
        answer(model.decoder, model.tokenizer, [[5]], (), Sampling(), 5)
