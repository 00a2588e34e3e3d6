"""How long a run will take, and when it is said."""

import pytest

from liuli.cli import remaining_time
from liuli.cli.remaining_time import RemainingTime
from liuli.learn.run.events import Ready, Update, Validated

STEPS, VALIDATIONS = 1000, 20
RECIPE = {"rows": 16, "length": 128}


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [0.0]
    monkeypatch.setattr(remaining_time.time, "perf_counter", lambda: now[0])
    return now


def ready(step=0, seconds=None, expected=None):
    later = {"validations": VALIDATIONS, "expected": expected}
    return Ready(step, STEPS, 1000, 1000, RECIPE, {}, 1.0, 1.0, seconds, 1.0, None, **later)


def train(remaining, clock, first, last, seconds=0.1):
    """Takes these steps. Returns all corrections."""
    announced = []
    for step in range(first, last + 1):
        clock[0] += seconds
        remaining.take(Update(step, 3.0, 1.0, 1.0, 2048 * step, seconds))
        announced.append(remaining.correction())
    return [text for text in announced if text]


def test_steps_and_validations_that_are_left(clock):
    remaining = RemainingTime()
    remaining.take(ready())
    assert remaining.left() is None
    remaining.take(Validated(0, None, True))
    clock[0] += 2.0
    train(remaining, clock, 1, 1)
    assert remaining.left() == pytest.approx(999 * 0.1 + 20 * 2.0)
    train(remaining, clock, 2, 50)
    remaining.take(Validated(50, None, True))
    clock[0] += 1.0
    train(remaining, clock, 51, 51)
    assert remaining.left() == pytest.approx(949 * 0.1 + 19 * 1.0)
    train(remaining, clock, 52, STEPS)
    assert remaining.left() == 0


def test_the_estimate_comes_before_the_first_step(clock):
    remaining = RemainingTime()
    remaining.take(ready(expected=110.0))
    said = "training on 2 M tokens will take about 2 min on this machine, estimated from a few trial steps"
    assert remaining.estimate() == said
    remaining.take(ready(step=500, expected=52.0))
    assert "on the remaining 1 M tokens will take about 50 s on" in remaining.estimate()


def test_a_wrong_estimate_is_corrected_once(clock):
    remaining = RemainingTime()
    remaining.take(ready(expected=50.0))
    assert train(remaining, clock, 1, 3, seconds=5.0) == []  # the first steps are slower
    assert train(remaining, clock, 4, 100) == ["slower than estimated: training will take about 2 min in all"]
    remaining = RemainingTime()
    remaining.take(ready(expected=3000.0))
    assert train(remaining, clock, 1, 100) == ["faster than estimated: training will take about 2 min in all"]


def test_a_good_estimate_is_not_corrected(clock):
    remaining = RemainingTime()
    remaining.take(ready(expected=110.0))
    assert train(remaining, clock, 1, 100) == []


def test_slow_steps_need_not_be_many(clock):
    remaining = RemainingTime()
    remaining.take(ready(step=500, expected=1000.0))
    assert train(remaining, clock, 501, 507, seconds=4.0) == ["slower than estimated: training will take about 33 min in all"]


def test_no_estimate_for_a_budget_of_time_or_for_a_moment(clock):
    for event in (ready(seconds=60.0), ready(expected=5.0)):
        remaining = RemainingTime()
        remaining.take(event)
        assert remaining.estimate() is None
        assert train(remaining, clock, 1, 100, seconds=0.005) == []
