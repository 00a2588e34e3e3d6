"""The scheduler alone: who waits, who runs, and that the memory is never exceeded."""

import random

import pytest

from liuli.errors import LiuliError
from liuli.generate.request import Request, RequestState
from liuli.generate.scheduler import FIRST_CAPACITY, Scheduler

TOKEN = 10  # bytes


def state(name: str, prompt: int = 1, tokens: int = 9) -> RequestState:
    return RequestState(name, Request([5] * prompt, max_tokens=tokens), None, 270)


def names(states: list[RequestState]) -> str:
    return "".join(state.name for state in states)


def scheduler(slots: int, tokens: int) -> Scheduler:
    """A scheduler whose memory holds that many tokens."""
    return Scheduler(slots, tokens * TOKEN, TOKEN)


def test_requests_run_in_the_order_they_came_as_many_as_there_are_slots():
    found = scheduler(2, 10**6)
    a, b, c = map(state, "abc")
    for each in (a, b, c):
        found.add(each)
    assert names(found.schedule()) == "ab"
    assert [each.name for each in found.waiting] == ["c"]
    found.finish(a)
    assert names(found.schedule()) == "cb"  # by slot: c has a's
    assert (a.slot, b.slot, c.slot) == (0, 1, 0)
    assert found.busy
    found.finish(b)
    found.finish(c)
    assert not found.busy
    assert found.schedule() == []


def test_a_request_that_waits_can_be_found_and_finished():
    found = scheduler(1, 10**6)
    a, b = map(state, "ab")
    found.add(a)
    found.add(b)
    found.schedule()
    assert (found.find("a"), found.find("b"), found.find("c")) == (a, b, None)
    found.finish(b)
    assert found.find("b") is None
    assert names(found.schedule()) == "a"


def test_requests_wait_while_the_memory_allows_no_more():
    """A slot takes one place more than its tokens, and all slots are as long as the longest request."""
    found = scheduler(8, 3 * (20 + 1))
    for name in "abcd":
        found.add(state(name, prompt=5, tokens=15))
    assert names(found.schedule()) == "abc"


def test_a_large_request_is_not_overtaken():
    found = scheduler(8, 4 * (20 + 1))
    for name, tokens in (("a", 15), ("b", 15), ("L", 50), ("c", 1)):
        found.add(state(name, 5, tokens))
    running = found.schedule()
    assert names(running) == "ab"
    found.finish(running[0])
    assert names(found.schedule()) == "b"
    found.finish(running[1])
    assert names(found.schedule()) == "L"  # for which there is room now, but for nothing next to it


@pytest.mark.parametrize(
    ("prompt", "tokens", "message"),
    [
        (5, 96, r"^the prompt has 5 tokens and max_tokens is 96: .* 1 kB may be used: set max_tokens to 94 or less$"),
        (100, 1, "shorten the prompt$"),
        (5, 10**10, r"KV cache takes 100 GB, but"),
        (5, 10**1000, r"takes more than 1,000 TB, but"),
    ],
)
def test_a_request_that_can_never_run_is_refused(prompt, tokens, message):
    found = scheduler(2, 100)
    found.add(state("a", 5, 94))
    with pytest.raises(LiuliError, match=message):
        found.add(state("b", prompt, tokens))
    assert names(found.schedule()) == "a"


def test_the_cache_doubles_up_to_what_can_be_needed():
    found = scheduler(8, 10**6)
    one = state("a", 10, 3 * FIRST_CAPACITY)
    found.add(one)
    found.schedule()
    sizes = [(0, 0)]
    while one.index < one.request.max_tokens:
        size = found.cache_size(*sizes[-1])
        if size != sizes[-1]:
            sizes.append(size)
        one.index += 1
    assert sizes[1:] == [(1, FIRST_CAPACITY), (1, 2 * FIRST_CAPACITY), (1, 10 + 3 * FIRST_CAPACITY)]
    for name in "bcd":
        found.add(state(name))
    found.schedule()
    assert found.cache_size(1, 64)[0] == 4
    assert found.cache_size(3, 64)[0] == 6
    assert found.cache_size(7, 64)[0] == 7


def test_memory_left_over_by_a_long_request_is_given_to_many_short_ones():
    found = scheduler(8, 4 * (100 + 1))
    found.add(state("L", 100, 300))
    found.schedule()
    size = found.cache_size(0, 0)
    assert size == (1, FIRST_CAPACITY)
    found.finish(found.running[0])
    for name in "abcd":
        found.add(state(name, 50, 50))
    assert names(found.schedule()) == "abcd"
    assert found.cache_size(*size) == (4, 100)


@pytest.mark.parametrize("seed", range(40))
def test_any_traffic_stays_within_the_budget_and_comes_to_an_end(seed):
    rng = random.Random(seed)
    budget = rng.choice([60, 200, 1000, 5000])
    found = scheduler(rng.choice([1, 3, 8]), budget)
    asked, started, size, copies = 0, [], (0, 0), 0
    for _ in range(3000):
        if asked < 30 and rng.random() < 0.3:
            each = state(str(asked), rng.randrange(1, 25), rng.randrange(1, 30))
            found.add(each)
            asked += 1
        running = found.schedule()
        started += [each.name for each in running if each.name not in started]
        if running:
            new = found.cache_size(*size)
            copies += new != size
            size = new
            assert size[0] * (size[1] + 1) <= budget
            assert size[0] > max(each.slot for each in running)
            assert size[1] >= max(each.position for each in running)
        for each in running:
            each.index += 1
            if each.index == each.request.max_tokens or rng.random() < 0.02:
                found.finish(each)
        if asked == 30 and not found.busy:
            break
    assert started == [str(i) for i in range(30)]
    assert copies < 60
