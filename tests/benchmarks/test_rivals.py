"""The rival's step is the step that is claimed: the same loss in every setting, and one that training makes smaller."""

import math
from itertools import product

import pytest
from rivals import Setting, fastest, transformers_step

from liuli.model.config import Config
from liuli.model.formats.families import config_to

TINY = config_to(Config("qwen3", 97, 32, 2, 4, 2, 8, 48, context=64, tied=True))
SETTINGS = [Setting(*both) for both in product(("sdpa", "eager"), (False, True))]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_steps_learn_their_rows(setting: Setting):
    step = transformers_step(TINY, rows=2, length=16, setting=setting)
    losses = [step() for _ in range(20)]
    assert losses[0] == pytest.approx(math.log(97), abs=0.1)
    assert losses[-1] < losses[0] - 0.1


def test_every_setting_starts_from_the_same_loss():
    first, *others = (transformers_step(TINY, rows=2, length=16, setting=setting)() for setting in SETTINGS)
    assert others == pytest.approx([first] * 3, abs=1e-3)


def test_the_fastest_is_the_one_that_took_least():
    found = fastest(TINY, rows=1, length=8, times=1)
    assert set(found.seconds) == set(SETTINGS)
    assert found.seconds[found.setting] == min(found.seconds.values())
    assert found.step() > 0
