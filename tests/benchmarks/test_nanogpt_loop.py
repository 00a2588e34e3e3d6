"""The reference loop: its size, its schedule, and that a run is what its seed says."""

import math
from dataclasses import replace

import pytest
import torch
from nanogpt_loop import Reference, rate, run, split, validate

TEXT = "All the world's a stage, and all the men and women merely players. " * 40


def test_it_has_the_parameters_of_the_recipe():
    """12 width² a layer, 65 + 64 embeddings, and a norm before and after each half: nanoGPT prints 0.80 M without positions."""
    model = Reference(65, torch.Generator().manual_seed(0))
    assert sum(weight.numel() for weight in model.parameters()) == 4 * 12 * 128**2 + (65 + 64) * 128 + 9 * 128


def test_the_rate_rises_and_falls():
    assert rate(0) == pytest.approx(1e-3 / 101)
    assert rate(100) == 1e-3
    assert rate(1050) == pytest.approx(5.5e-4)
    assert rate(2000) == rate(3000) == pytest.approx(1e-4)


def test_validation_counts_every_character_but_the_first():
    _, ids, characters = split(TEXT)
    model = Reference(characters, torch.Generator().manual_seed(0))
    starts = range(0, len(ids) - 1, 64)
    with torch.inference_mode():
        logits = torch.cat([model(ids[start : min(start + 64, len(ids) - 1)][None])[0] for start in starts])
    expected = torch.nn.functional.cross_entropy(logits, ids[1:]).item()
    assert validate(model, ids, rows=2) == pytest.approx(expected, rel=1e-5)
    assert validate(model, ids[:10]) > 0


def test_a_run_is_what_its_seed_says():
    points = run(TEXT, seed=1, iterations=6, eval_at=(0, 3))
    assert [(point.iteration, point.characters) for point in points] == [(0, 0), (3, 2304), (6, 4608)]
    assert points[0].nats == pytest.approx(math.log(len(set(TEXT))), abs=0.2)
    assert points[2].nats < points[0].nats
    again = run(TEXT, seed=1, iterations=6)
    assert replace(again[0], seconds=0.0) == replace(points[2], seconds=0.0)
    assert run(TEXT, seed=2, iterations=6)[0].nats != again[0].nats
