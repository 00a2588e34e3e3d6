"""Forced tokens: many in one pass, each with the record that it would have alone."""

import pytest
import torch

from liuli.generate.engine import Engine
from liuli.generate.record import StepRecord
from liuli.generate.request import Request
from liuli.generate.sampling import Sampling

SIZE = 270


class OneByOne:
    """A constraint that forces the tokens of another one singly, each in a pass of its own: they are the only ones allowed."""

    def __init__(self, texts: list[list[int]], free: int):
        self.plan = [token for text in texts for token in [*text, *[None] * free]]

    def forced(self) -> list[int]:
        return []

    def mask(self, left: int) -> torch.Tensor:
        allowed = torch.ones(SIZE, dtype=torch.bool)
        if self.plan[0] is not None:
            allowed[:] = False
            allowed[self.plan[0]] = True
        return allowed

    def fits(self, token_id: int) -> bool:
        return True

    def accept(self, token_id: int) -> None:
        assert self.plan.pop(0) in (None, token_id)

    def done(self) -> bool:
        return not self.plan


class Together(OneByOne):
    """The same, with all forced tokens at once."""

    def forced(self) -> list[int]:
        count = next((i for i, token in enumerate(self.plan) if token is None), len(self.plan))
        return self.plan[:count]


def run(model, constraint, passes: list[int], **settings) -> list[StepRecord]:
    engine = Engine(model.decoder, model.tokenizer)
    engine.submit(Request([5, 6, 7], max_tokens=60, constraint=constraint, **settings))
    found: list[StepRecord] = []
    while engine.busy:
        step = engine.step()
        passes.append(len(step))
        found += step
    return found


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0.0), Sampling(0.8, 20, 0.9, repetition_penalty=1.2, frequency_penalty=0.3)], ids=str
)
def test_the_same_choices_and_numbers_as_one_by_one(tiny, sampling):
    texts = [tiny.tokenizer.encode(text) for text in ("the 12 abc", "x", "天气")]
    for seed in range(5):
        settings = {"sampling": sampling, "seed": seed, "candidates": 5, "prompt_logprobs": True}
        alone, together = [], []
        expected = run(tiny, OneByOne(texts, 3), alone, **settings)
        found = run(tiny, Together(texts, 3), together, **settings)
        assert [record.token for record in found] == [record.token for record in expected]
        assert [record.uniform for record in found] == [record.uniform for record in expected]
        assert [(record.index, record.position, record.text) for record in found] == [
            (record.index, record.position, record.text) for record in expected
        ]
        for one, other in zip(found, expected, strict=True):
            assert one.scores.logprob == pytest.approx(other.scores.logprob, abs=1e-4)
            assert one.removed == pytest.approx(other.removed, abs=1e-5)
        assert found[0].prompt_logprobs[1:] == pytest.approx(expected[0].prompt_logprobs[1:], abs=1e-4)
        assert len(alone) == len(expected)
        assert len(together) == 9  # one pass for each free token; the forced ones come with the next


def test_each_is_marked(tiny):
    texts = [tiny.tokenizer.encode("abc")]
    found = run(tiny, Together(texts, 1), [], sampling=Sampling())
    assert [record.forced for record in found] == [True] * 3 + [False]
    assert found[-1].finish_reason == "stop"


def test_a_text_that_ends_with_forced_tokens(tiny):
    ids = tiny.tokenizer.encode("abc")
    passes: list[int] = []
    found = run(tiny, Together([ids], 0), passes)
    assert [record.token.id for record in found] == ids
    assert passes == [3]
    assert [record.finish_reason for record in found] == [None, None, "stop"]


def test_more_forced_tokens_than_the_limit(tiny):
    engine = Engine(tiny.decoder, tiny.tokenizer)
    engine.submit(Request([5], max_tokens=4, constraint=Together([tiny.tokenizer.encode("abcdefgh")], 0)))
    assert [record.finish_reason for record in engine.step()] == [None, None, None, "length"]
    assert not engine.busy


def test_a_stop_string_inside_forced_tokens(tiny):
    found = run(tiny, Together([tiny.tokenizer.encode("abcdefgh")], 3), [], stop=["de"])
    assert "".join(record.text for record in found) == "abc"
    assert (len(found), found[-1].finish_reason) == (5, "stop")


def test_neighbours_with_and_without_forced_tokens(tiny):
    """All in one engine; the cache has room for every forced token."""
    engine = Engine(tiny.decoder, tiny.tokenizer)
    texts = [tiny.tokenizer.encode("abcdefgh" * 4), tiny.tokenizer.encode("the")]
    requests = [
        Request([5] * (i + 1), max_tokens=60, seed=i, constraint=Together(texts, 2) if i % 2 else None) for i in range(6)
    ]
    names = [engine.submit(request) for request in requests]
    found: dict[str, list[StepRecord]] = {name: [] for name in names}
    while engine.busy:
        for record in engine.step():
            found[record.request].append(record)
    for name, request in zip(names, requests, strict=True):
        lone = Engine(tiny.decoder, tiny.tokenizer)
        again = Request(
            request.ids, max_tokens=60, seed=request.seed, constraint=Together(texts, 2) if request.constraint else None
        )
        lone.submit(again)
        records: list[StepRecord] = []
        while lone.busy:
            records += lone.step()
        assert [record.token for record in found[name]] == [record.token for record in records]


def test_a_token_that_does_not_fit_is_chosen_again(tiny):
    """With the same number, among the others."""

    class Picky(OneByOne):
        refused: list[int]

        def __init__(self):
            super().__init__([[]], 6)
            self.refused = []

        def fits(self, token_id: int) -> bool:
            if token_id % 3:
                self.refused.append(token_id)
            return not token_id % 3

        def mask(self, left: int) -> torch.Tensor:
            allowed = super().mask(left)
            allowed[self.refused] = False
            return allowed

    constraint = Picky()
    found = run(tiny, constraint, [], candidates=270)
    assert constraint.refused
    assert all(record.token.id % 3 == 0 for record in found)
    for record in found:
        lower, upper = record.scores.interval
        assert lower <= record.uniform < upper


def test_a_constraint_that_contradicts_itself_ends_its_request(tiny):
    constraint = OneByOne([tiny.tokenizer.encode("a")], 0)
    constraint.fits = lambda token_id: False
    (record,) = run(tiny, constraint, [])
    assert record.finish_reason == "error"
    assert "says that it does not fit" in record.error
