"""The numbers of a run, from a size and a text."""

import math
from dataclasses import replace

import pytest

from liuli.errors import LiuliError
from liuli.learn.prepare.budget import (
    FEWEST_VALIDATED,
    LEAST_VALIDATED,
    LOOKS,
    VALIDATED,
    VALIDATIONS,
    Costs,
    Pace,
    arithmetic,
    pace,
    pace_within,
    step_seconds,
)
from liuli.learn.prepare.fresh import FIRST_PLACES
from liuli.learn.prepare.job import Job
from liuli.learn.prepare.model import SIZES
from liuli.learn.run_stage import pretrain
from liuli.learn.step.loop import Training
from liuli.learn.step.rates import Rates
from liuli.learn.step.recipe import ACTIVATIONS_AT_ONCE, HIGHEST, LONGEST, TOKENS_AT_ONCE, Recipe, derive, for_published
from liuli.model.config import PRESETS
from liuli.model.plan import kept_bytes, parameter_parts

GOOD = {
    "optimizer": "muon",
    "length": 64, "rows": 4, "rows_at_once": 2, "buffer": 4096, "rate": 0.01, "decay": 0.0, "warm_up": 0.1, "warm_down": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("steps", [10, 11, 37, 100, 5000])
@pytest.mark.parametrize(("up", "down"), [(0.02, 0.6), (0.0, 0.0), (0.3, 0.7), (1.0, 0.0), (0.0, 1.0), (0.001, 0.01)])
def test_strength(steps, up, down):
    recipe = Recipe(**GOOD | {"warm_up": up, "warm_down": down})
    strengths = [recipe.strength(step, steps) for step in range(steps)]
    assert all(0 < strength <= 1 for strength in strengths)  # no step is wasted, not the first and not the last
    top = strengths.index(max(strengths))
    assert max(strengths) == pytest.approx(1, abs=2 / steps)
    assert strengths[: top + 1] == sorted(strengths[: top + 1])
    assert strengths[top:] == sorted(strengths[top:], reverse=True)
    rising, falling = int(up * steps), int(down * steps)
    assert all(strength == 1 for strength in strengths[rising + 1 : steps - falling])
    for i in range(1, rising - 1):  # straight lines
        assert strengths[i] - strengths[i - 1] == pytest.approx(1 / (up * steps + 1))
    for i in range(steps - falling + 1, steps):
        assert strengths[i - 1] - strengths[i] == pytest.approx(1 / (down * steps)) or i <= rising + 1
    if down * steps >= 1:
        assert strengths[-1] == pytest.approx(1 / (down * steps))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("longest", [3, 65, 66, 200, 100_000])
def test_derived(size, longest):
    config = PRESETS[size]
    parameters = sum(parameter_parts(config).values())
    documents = [min(30, longest)] * 3000 + [longest] * 4
    recipe = derive(config, documents, {})
    most = next(length for up_to, length in LONGEST if parameters <= up_to)
    assert recipe.length == min(most, max(64, 64 * math.ceil((longest - 1) / 64)))
    wanted = 2048 * max(1.0, (parameters / 1e6) ** 0.25)
    assert wanted / 1.5 < recipe.tokens < wanted * 1.5
    assert recipe.rows_at_once == recipe.rows or recipe.rows_at_once * recipe.length <= TOKENS_AT_ONCE
    assert recipe.rows_at_once <= recipe.rows
    assert 0 < recipe.rates.rest < recipe.rates.matrices < recipe.rates.embedding
    assert recipe.rates.matrices == recipe.rate


def test_one_document_in_a_thousand_may_be_longer_than_a_row():
    documents = [64] * 999 + [5000]
    assert derive(PRESETS["nano"], documents, {}).length == 64
    assert derive(PRESETS["nano"], documents[1:], {}).length == 256


def test_a_large_model_reads_fewer_rows_at_once():
    rows = {size: derive(PRESETS[size], [512], {"length": 512, "rows": 8}).rows_at_once for size in ("base", "qwen2.5-0.5b")}
    assert rows == {"base": 4, "qwen2.5-0.5b": 1}
    assert rows["qwen2.5-0.5b"] * 512 * kept_bytes(PRESETS["qwen2.5-0.5b"]) <= ACTIVATIONS_AT_ONCE
    assert derive(PRESETS["qwen2.5-0.5b"], [4096], {"length": 4096}).rows_at_once == 1  # never none


@pytest.mark.parametrize("lora", [False, True])
def test_a_published_model_learns_by_small_steps(lora):
    for size in SIZES[:-1]:
        assert for_published(PRESETS[size], lora) == {}
    rates = []
    for size in ("qwen2.5-0.5b", "llama3.2-1b", "llama3-8b"):
        recipe = derive(PRESETS[size], [200] * 1000, for_published(PRESETS[size], lora) | {"length": 256})
        assert (recipe.optimizer, recipe.tokens) == ("adamw", 1024)
        rates.append(recipe.rate)
        assert recipe.rates == Rates(recipe.rate, recipe.rate, recipe.rate, 0.0, None)
    assert rates[0] == pytest.approx(4.5e-4 if lora else 1.1e-5, rel=1e-3)
    assert rates == sorted(rates, reverse=True) and rates[-1] > rates[0] / 5


def test_a_published_model_takes_smaller_steps_on_little_data():
    """100 steps in three passes, if a step is a row at least."""
    config, settings = PRESETS["qwen2.5-0.5b"], for_published(PRESETS["qwen2.5-0.5b"], True) | {"length": 64}
    assert derive(config, [100] * 1000, settings).tokens == 1024
    assert derive(config, [100] * 100, settings).tokens == 256  # 3 · 10,000 / 100, in whole rows
    assert derive(config, [10] * 100, settings).rows == 1


def test_what_is_set_by_hand_stays():
    given = {"length": 100, "rows": 7, "rate": 0.5, "decay": 0.25, "warm_up": 0.5, "warm_down": 0.25}
    recipe = derive(PRESETS["nano"], [10], given)
    assert {name: getattr(recipe, name) for name in given} == given
    assert Recipe(**recipe.to_json()) == recipe
    assert (
        derive(PRESETS["nano"], [10], {"length": 20_000}).rows
        == derive(PRESETS["nano"], [10], {"length": 20_000}).rows_at_once
        == 1
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 0}, "a recipe's length"),
        ({"rows": 2.0}, "a recipe's rows"),
        ({"rate": 0}, "the learning rate"),
        ({"rate": HIGHEST}, "the learning rate"),
        ({"rate": math.inf}, "the learning rate"),
        ({"decay": -0.1}, "the weight decay"),
        ({"warm_up": 1.5}, "--warm-up must be a share"),
        ({"warm_up": 0.6, "warm_down": 0.6}, "--warm-up and --warm-down together must be at most 1, not 1"),
    ],
)
def test_out_of_range(change, message):
    with pytest.raises(LiuliError, match=message):
        Recipe(**GOOD | change)


NANO = Costs(step=0.15, token=2.4e-5, keep=0.2, look=0.01)  # seconds of two cores, 2,048 tokens a step
HALF_A_BILLION = Costs(step=7.6, token=3.3e-3, keep=3.0, look=0.5)  # LoRA, 1,024 tokens a step


def test_the_budget_goes_into_steps():
    for costs, tokens in ((NANO, 2048), (HALF_A_BILLION, 1024)):
        for seconds in (150, 600, 6000):
            found = pace_within(costs, seconds, tokens, FEWEST_VALIDATED)
            steps, done = found.steps * costs.step, FEWEST_VALIDATED * costs.token
            assert steps + found.watching(costs) - done <= seconds
            more = replace(found, steps=found.steps + 1)
            assert steps + costs.step + more.watching(costs) - done > seconds  # all of it is used
            assert steps > 0.8 * seconds


def test_a_small_model_is_validated_twenty_times():
    found = pace(NANO, 1700, 2048)
    assert (found.validations, found.looks, found.validated_tokens) == (VALIDATIONS, LOOKS, int(VALIDATED * 1700 * 2048))


def test_a_large_model_is_validated_more_rarely_on_fewer_tokens():
    found = pace(HALF_A_BILLION, 60, 1024)
    assert 4 <= found.validations < VALIDATIONS
    assert FEWEST_VALIDATED <= found.validated_tokens < LEAST_VALIDATED


def test_a_short_budget_is_used():
    assert pace_within(HALF_A_BILLION, 60, 1024, FEWEST_VALIDATED).steps > 2
    assert pace_within(HALF_A_BILLION, 10, 1024, FEWEST_VALIDATED).steps == 0
    for seconds in (0.0, -5.0):
        assert pace_within(NANO, seconds, 2048, LEAST_VALIDATED).steps == 0


def test_a_budget_of_tokens_goes_into_steps_by_arithmetic():
    """The same on every machine: no clock is read."""
    costs = arithmetic(PRESETS["qwen2.5-0.5b"], 512, 1024)
    found = pace(costs, 50, 1024)
    assert found.watching(costs) < 0.25 * 50 * costs.step
    tiny = arithmetic(PRESETS["nano"], 256, 2048)
    assert pace(tiny, 20, 2048) == Pace(20, VALIDATIONS, LOOKS, LEAST_VALIDATED)


@pytest.mark.parametrize(
    ("seconds", "adapter", "times", "measured"),
    [
        (300, True, [30, 20, 9], 30), (300, True, [5, 30, 20], 30), (300, False, [31, 20, 9], 31),
        (300, False, [30, 20, 9], 20), (300, False, [5, 30, 20], 30), (600, False, [8, 5, 5, 4, 4, 4, 3], 4),
        (300, False, [1] * 20, 1), (300, False, [2, 1.5, 1, 1, 1, 1, 1, 1, 1], 1), (25, True, [0.5, 0.75, 0.1], 0.75),
    ],
)  # fmt: skip
def test_slow_steps_are_measured_once_or_twice(monkeypatch, seconds, adapter, times, measured):
    clock, left = [0.0], iter(times)
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def update():
        clock[0] += next(left)

    assert step_seconds(update, seconds, adapter) == measured


def test_the_speed_is_measured_after_a_short_first_step(tmp_path, monkeypatch):
    """The first step allocates and reads what later ones find ready: it takes several times as long, and would be all that a
    slow model's speed is measured by."""
    read, update = [], Training.update

    def told(self, strength=None, places=None):
        read.append(places)
        return update(self, strength, places)

    monkeypatch.setattr(Training, "update", told)
    text = tmp_path / "text.txt"
    text.write_text("Ada keeps an otter by the river. " * 400, encoding="utf-8")
    job = Job.of(sources=(str(text),), size="nano", length=32, minutes=0.2, tokenizer="char")
    for _ in pretrain(job, tmp_path / "run"):
        if len(read) > 2:
            break
    assert read[0] == FIRST_PLACES
    assert set(read[1:]) == {None}
