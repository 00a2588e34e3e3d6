"""How long a training will take, from a few trial steps that leave no trace."""

from itertools import cycle

import pytest
import torch
from helpers.trainings import CONFIG, job_in, run

from liuli.learn.prepare import forecast
from liuli.learn.prepare.machine import Machine
from liuli.learn.run.events import Ready
from liuli.learn.step.recipe import derive
from liuli.model.config import PRESETS
from liuli.model.formats.families import config_from
from liuli.model.plan import forward_flops, layer_matrices

CPU = torch.device("cpu")
PASSES, UPDATE = 4.0, 1.0  # seconds of a trial step


@pytest.fixture
def timed(monkeypatch):
    times = cycle((PASSES, UPDATE))
    monkeypatch.setattr(forecast, "_seconds", lambda run, device: next(times))
    monkeypatch.setattr(forecast, "self_test", lambda *asked: Machine("fp32", 1, 1e11, {}))


def recipe_of(config, **given):
    return derive(config, [64] * 10, given)


def test_trial_steps_leave_the_random_state_as_it_was():
    config = config_from(CONFIG, "here")
    before = torch.get_rng_state()
    found = forecast.step_times(config, recipe_of(config, length=32, rows=2), CPU, torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
    assert found.token > 0 and found.update > 0


def test_an_update_takes_as_long_however_many_tokens_a_step_has(timed):
    config, hours = config_from(CONFIG, "here"), []
    for rows in (2, 8):
        recipe = recipe_of(config, length=32, rows=rows)
        times = forecast.step_times(config, recipe, CPU, torch.float32)
        assert (times.token, times.update) == (PASSES / (32 * rows), UPDATE)
        found = forecast.forecast(config, 6400, recipe)
        assert found.timed is None
        hours.append(found.hours)
    assert hours == pytest.approx([100 * (PASSES + UPDATE) / 3600, 25 * (PASSES + UPDATE) / 3600])


def test_a_large_model_is_assumed_to_reach_the_speed_of_a_small_one(timed):
    small, large = PRESETS["micro"], PRESETS["small"]
    recipe = recipe_of(large, length=256)
    found = forecast.step_times(large, recipe, CPU, torch.float32)
    assert found.token == pytest.approx(PASSES / 1024 * forward_flops(large, 128) / forward_flops(small, 128))
    muon = large.layers * layer_matrices(large) * large.width / (small.layers * layer_matrices(small) * small.width)
    assert found.update == pytest.approx(UPDATE * muon)


def test_a_run_says_how_long_it_will_take_before_its_first_step(tmp_path, timed):
    ready = next(event for event in run(job_in(tmp_path, 10), tmp_path / "run") if isinstance(event, Ready))
    assert ready.expected is not None and ready.expected >= 10 * (PASSES + UPDATE)
