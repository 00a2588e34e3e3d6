"""The articles' experiment in small: a model learns how often a text goes on with one word and how often with another."""

import pytest
from frequencies import experiment
from helpers.trainings import write_config

SMALL = {"tokens": 2.5e5, "length": 32, "device": "cpu", "dtype": "fp32", "threads": 1}


@pytest.mark.parametrize("ratio", [(3, 2), (9, 1)])
def test_what_is_learned_is_what_was_counted(tmp_path, ratio):
    shape = write_config(tmp_path, hidden_size=32, num_hidden_layers=2, head_dim=16, intermediate_size=64)
    counted, learned, farthest = experiment(ratio, tmp_path, config=str(shape), **SMALL)
    assert counted == pytest.approx(ratio[0] / sum(ratio), abs=0.02)
    assert learned == pytest.approx(counted, abs=0.03)
    assert farthest < 0.03
