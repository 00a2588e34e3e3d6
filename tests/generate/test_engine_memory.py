"""How much memory the engine takes, to the byte; and that its growing changes no number."""

import re
from dataclasses import replace

import pytest
import torch
from helpers.memory import peak_bytes

from liuli.errors import LiuliError
from liuli.generate import scheduler
from liuli.generate.engine import Engine
from liuli.generate.record import StepRecord
from liuli.generate.request import Request
from liuli.generate.sampling import Sampling
from liuli.model.cache import KVCache, bytes_per_token
from liuli.model.config import LARGEST_SIZE, PRESETS, Config
from liuli.model.decoder import Decoder

LONG = Config("llama", 64, 16, 2, 2, 1, 8, 16, 131_072)  # as long a context as Llama 3.2's


def decoder_of(config: Config) -> Decoder:
    """Random weights."""
    torch.manual_seed(0)
    decoder = Decoder(config)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0, 0.3) if parameter.ndim > 1 else parameter.fill_(1.0)
    return decoder


@pytest.fixture(scope="module")
def long() -> Decoder:
    return decoder_of(LONG)


def run(engine: Engine, requests: list[Request]) -> tuple[list[list[StepRecord]], int]:
    """The records of each, and the most memory that the cache took."""
    names = [engine.submit(request) for request in requests]
    found: dict[str, list[StepRecord]] = {name: [] for name in names}
    most = 0
    while engine.busy:
        for record in engine.step():
            found[record.request].append(record)
        most = max(most, engine.cache_bytes)
    assert engine.cache_bytes == 0
    return [found[name] for name in names], most


def numbers(records: list[StepRecord]) -> list[tuple]:
    """All that a step computes, to the bit."""
    return [
        (record.token and record.token.id, record.scores and [c.logit.hex() for c in record.scores.candidates])
        for record in records
    ]


def requests_of(count: int, tokens: int = 24) -> list[Request]:
    return [Request([1] * (1 + i % 7), Sampling(), tokens, seed=i, candidates=64) for i in range(count)]


def test_a_long_context_takes_no_memory_by_itself(long):
    """32 slots of 131,072 tokens would be 537 MB here, and 275 GB for Llama 3.2 1B."""
    whole = 32 * LONG.context * bytes_per_token(LONG, torch.float32)
    assert whole > 5e8
    assert 32 * 131_072 * bytes_per_token(PRESETS["llama3.2-1b"], torch.float32) > 2.7e11
    sizes = []
    peak = peak_bytes(lambda: sizes.append(run(Engine(long), requests_of(40))[1]))
    assert 0 < sizes[0] <= 32 * (scheduler.FIRST_CAPACITY + 1) * bytes_per_token(LONG, torch.float32)
    assert peak < 2 * sizes[0]


@pytest.mark.parametrize("context", [1 << 20, LARGEST_SIZE])
def test_a_huge_context_is_only_a_number(long, context):
    decoder = decoder_of(replace(LONG, context=context))
    (records,), _ = run(Engine(decoder), [Request([5], max_tokens=3)])
    assert len(records) == 3
    with pytest.raises(LiuliError, match=r"max_tokens is \d+: .*B, but only .* may be used: set max_tokens to \d+ or less"):
        Engine(decoder, cache_budget=10**8).submit(Request([5], max_tokens=context - 1))
    with pytest.raises(LiuliError, match=r"the context has only 131,072 tokens: set max_tokens to 131071 or less"):
        Engine(long).submit(Request([5], max_tokens=10**10))


def test_growing_changes_no_number(long, monkeypatch):
    """Requests that join, leave and grow, with a cache that doubles from one token and slot on, and one that never grows."""
    requests = requests_of(9, 40)
    resized = []
    resize = KVCache.resize
    monkeypatch.setattr(KVCache, "resize", lambda self, *size: (resized.append(size), resize(self, *size)))
    monkeypatch.setattr(scheduler, "FIRST_CAPACITY", 1)
    growing, _ = run(Engine(long, slots=4), requests)
    assert len(resized) >= 3
    resized.clear()
    monkeypatch.setattr(scheduler.Scheduler, "cache_size", lambda *_: (4, 100))
    fixed, _ = run(Engine(long, slots=4), requests)
    assert resized == []
    assert list(map(numbers, growing)) == list(map(numbers, fixed))


def test_a_long_answer_is_copied_a_few_times_only(long, monkeypatch):
    resized = []
    resize = KVCache.resize
    monkeypatch.setattr(KVCache, "resize", lambda self, *size: (resized.append(size[1]), resize(self, *size)))
    (records,), _ = run(Engine(long, slots=1), [Request([1], Sampling(temperature=0), 3000)])
    assert len(records) == 3000
    assert resized == [512, 1024, 2048, 3001]


def test_requests_wait_for_memory_and_get_what_they_get_alone(long):
    """Room for two of them: never do more run, the budget is never exceeded, and all are answered."""
    requests = requests_of(6)
    budget = 2 * (7 + 24 + 1) * bytes_per_token(LONG, torch.float32)
    engine = Engine(long, cache_budget=budget)
    names = [engine.submit(request) for request in requests]
    found: dict[str, list[StepRecord]] = {name: [] for name in names}
    while engine.busy:
        records = engine.step()
        assert len({record.request for record in records}) <= 2
        assert engine.cache_bytes <= budget
        for record in records:
            found[record.request].append(record)
    for name, request in zip(names, requests, strict=True):
        (alone,), _ = run(Engine(long, slots=1), [request])
        assert [record.token.id for record in found[name]] == [record.token.id for record in alone]


def test_a_request_larger_than_the_budget_is_refused_and_harms_nobody(long):
    engine = Engine(long, cache_budget=50 * bytes_per_token(LONG, torch.float32))
    fine = engine.submit(Request([5], max_tokens=9))
    with pytest.raises(LiuliError, match=r"40 tokens and max_tokens is 10: .* set max_tokens to 9 or less"):
        engine.submit(Request([5] * 40, max_tokens=10))
    while engine.busy:
        assert {record.request for record in engine.step()} == {fine}


def test_a_cancelled_request_gives_its_memory_back(long):
    engine = Engine(long)
    name = engine.submit(Request([5] * 9))
    engine.step()
    assert engine.cache_bytes > 0
    engine.cancel(name)
    assert [record.finish_reason for record in engine.step()] == ["cancelled"]
    assert engine.cache_bytes == 0


def test_a_device_without_memory_ends_what_runs_and_nothing_else(long, monkeypatch):
    resize = KVCache.resize
    monkeypatch.setattr(scheduler, "FIRST_CAPACITY", 4)
    monkeypatch.setattr(KVCache, "resize", lambda *_: torch.zeros(10**18))
    engine = Engine(long, slots=2)
    names = [engine.submit(Request([5] * 3, max_tokens=8)) for _ in range(3)]
    records = []
    while len(records) < 6:
        records += engine.step()
    assert [record.request for record in records if record.error] == names[:2]
    assert all(re.match("not enough memory for a KV cache of 2 × .* tokens: ", r.error) for r in records if r.error)
    monkeypatch.setattr(KVCache, "resize", resize)
    while engine.busy:
        records += engine.step()
    assert [r.finish_reason for r in records if r.request == names[2]] == [None] * 7 + ["length"]


def test_log_probabilities_of_a_long_prompt_are_made_in_chunks():
    """2,000 tokens × 50,000 ids in fp32 are 400 MB."""
    decoder = decoder_of(Config("llama", 50_000, 8, 1, 1, 1, 8, 8, 4096))
    ids = torch.randint(0, 50_000, (2000,)).tolist()
    found = []

    def score() -> None:
        engine = Engine(decoder)
        engine.submit(Request(ids, max_tokens=1, prompt_logprobs=True))
        found.extend(engine.step()[0].prompt_logprobs)

    assert peak_bytes(score) < 100e6
    with torch.inference_mode():
        logprobs = decoder(torch.tensor([ids[:60]]))[0].log_softmax(-1)
    assert found[:60] == [None, *(pytest.approx(logprobs[i, token].item(), abs=1e-4) for i, token in enumerate(ids[1:60]))]
