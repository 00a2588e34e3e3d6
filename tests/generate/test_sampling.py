"""The rules of sampling against plain float64 references by full stable sort, and against `transformers`."""

import contextlib
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from liuli.errors import LiuliError
from liuli.generate.sampling import Draw, Sampling, choose, distribution, min_p, pick, top_k, top_p

INF, NAN = math.inf, math.nan
JUST_BELOW_1 = math.nextafter(1, 0)

examples = settings(deadline=None, derandomize=True, max_examples=150)
tied = st.integers(-4, 4).map(float)
rows = st.lists(st.one_of(tied, st.floats(-30, 30, width=32)), min_size=1, max_size=40).map(torch.tensor)
prob_rows = rows.map(lambda row: row.softmax(-1))
shares = st.floats(0.001, 0.999)


def logs(*probs: float) -> torch.Tensor:
    return torch.tensor(probs).log()


def mask(*allowed: int) -> torch.Tensor:
    return torch.tensor(allowed, dtype=torch.bool)


def spread(found, size: int) -> torch.Tensor:
    """The probabilities of all ids, 0 for those that were cut."""
    return torch.zeros(size).index_put((found.ids_K,), found.probs_K)


# References: numpy float64, everything sorted, the lower id first where entries tie.


def descending(values) -> np.ndarray:
    return np.argsort(-np.asarray(values, np.float64), kind="stable")


def by_top_k(values, k: int) -> list[int]:
    return sorted(descending(values)[:k].tolist())


def by_top_p(probs, p: float) -> list[int]:
    order = descending(probs)
    short = np.cumsum(np.asarray(probs, np.float64)[order]) < p
    return sorted(order[: short.sum() + 1].tolist())


def by_min_p(probs, share: float) -> list[int]:
    probs = np.asarray(probs, np.float64)
    return np.flatnonzero(probs >= share * probs.max()).tolist()


def by_all(logits, sampling: Sampling, allowed, prompt, counts) -> np.ndarray:
    """Every rule in order, as probabilities of all ids."""
    x = np.asarray(logits, np.float64).copy()
    x[~np.asarray(allowed)] = -INF
    for id in {*prompt, *counts}:
        x[id] = x[id] / sampling.repetition_penalty if x[id] > 0 else x[id] * sampling.repetition_penalty
    for id, count in counts.items():
        x[id] -= sampling.presence_penalty + sampling.frequency_penalty * count
    for id, bias in sampling.logit_bias.items():
        x[id] += bias
    if sampling.temperature == 0:
        return np.eye(len(x))[x.argmax()]
    probs = np.exp((x - x.max()) / sampling.temperature)
    probs /= probs.sum()
    for on, rule, value in [
        (sampling.top_k > 0, by_top_k, sampling.top_k),
        (sampling.top_p < 1, by_top_p, sampling.top_p),
        (sampling.min_p > 0, by_min_p, sampling.min_p),
    ]:
        if on:
            kept = rule(probs, value)
            probs = np.where(np.isin(np.arange(len(x)), kept), probs, 0)
            probs /= probs.sum()
    return probs


# Each rule alone.


@examples
@given(rows, st.data())
def test_top_k_is_the_reference(row, data):
    k = data.draw(st.integers(1, len(row)))
    kept = top_k(row, k).tolist()
    assert kept == by_top_k(row, k)
    assert len(kept) == k


@examples
@given(prob_rows, shares)
def test_top_p_is_the_reference_and_the_smallest_nucleus(probs, p):
    kept = top_p(probs, p)
    assert kept.tolist() == by_top_p(probs, p)
    inside = probs[kept].double()
    assert inside.sum() >= p or len(kept) == len(probs)
    assert inside.sum() - inside.min() < p


@examples
@given(prob_rows, st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.5, 0.77, 1.0]))
def test_min_p_is_the_reference_and_keeps_the_largest(probs, share):
    kept = min_p(probs, share).tolist()
    assert kept == by_min_p(probs, share)
    assert int(probs.argmax()) in kept


@examples
@given(prob_rows, shares, st.integers(1, 8))
def test_top_p_looks_beyond_the_first(probs, p, first):
    assert top_p(probs, p, first).tolist() == by_top_p(probs, p)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9, 0.999, 1 - 1e-12])
@pytest.mark.parametrize("kind", ["flat", "tied", "equal"])
def test_top_p_of_a_flat_real_vocabulary(kind, p):
    row = torch.randn(32_000, generator=torch.Generator().manual_seed(0)) / 10
    probs = {"flat": row, "tied": (row * 20).round() / 20, "equal": row * 0}[kind].softmax(-1)
    assert top_p(probs, p).tolist() == by_top_p(probs, p)


def test_top_p_that_rounding_never_reaches_keeps_all():
    probs = torch.tensor([0.25, 0.25, 0.25, 0.25 - 1e-6])
    assert top_p(probs, 1 - 1e-9).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("k", [1, 5, 40, 31_999, 32_000])
def test_top_k_of_a_tied_real_vocabulary(k):
    row = (torch.randn(32_000, generator=torch.Generator().manual_seed(0)) * 2).round()
    assert top_k(row, k).tolist() == by_top_k(row, k)


# All of them, in order.


@examples
@given(
    st.lists(st.integers(-64, 64).map(lambda n: n / 8), min_size=1, max_size=40).map(torch.tensor),
    st.builds(
        Sampling,
        # Halves and quarters are exact in float32: what ties there ties in float64 too.
        temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
        top_k=st.integers(0, 12),
        top_p=st.sampled_from([1.0, 0.3171, 0.7313, 0.9477]),
        min_p=st.sampled_from([0.0, 0.0431, 0.2719, 1.0]),
        repetition_penalty=st.sampled_from([1.0, 2.0, 0.5]),
        presence_penalty=st.sampled_from([0.0, 0.5, -0.5]),
        frequency_penalty=st.sampled_from([0.0, 0.25, -0.25]),
    ),
    st.data(),
)
def test_distribution_is_the_reference(row, sampling, data):
    ids = st.integers(0, len(row) - 1)
    prompt = data.draw(st.lists(ids, max_size=5))
    counts = data.draw(st.dictionaries(ids, st.integers(1, 4), max_size=5))
    bias = data.draw(st.dictionaries(ids, st.sampled_from([-INF, -1.5, 0.0, 2.25]), max_size=3))
    allowed = data.draw(st.lists(st.booleans(), min_size=len(row), max_size=len(row)).map(torch.tensor))
    assume(any(ok and bias.get(id) != -INF for id, ok in enumerate(allowed.tolist())))
    sampling = Sampling(**{name: getattr(sampling, name) for name in sampling.__slots__} | {"logit_bias": bias})
    before = row.clone()
    found = distribution(row, sampling, allowed, prompt, counts)
    assert torch.equal(row, before)
    wanted = by_all(row, sampling, allowed, prompt, counts)
    assert_close(spread(found, len(row)).double(), torch.from_numpy(wanted), atol=1e-5, rtol=1e-4)
    assert found.ids_K.tolist() == sorted(set(found.ids_K.tolist()))
    assert found.probs_K.sum().item() == pytest.approx(1, abs=1e-5)
    for cut in found.cuts:
        assert cut.kept.tolist() == sorted(set(cut.kept.tolist()))


PROCESSORS = {
    "temperature": lambda value: TemperatureLogitsWarper(value),
    "top_k": lambda value: TopKLogitsWarper(value),
    "top_p": lambda value: TopPLogitsWarper(value),
    "min_p": lambda value: MinPLogitsWarper(value),
    "repetition_penalty": lambda value: RepetitionPenaltyLogitsProcessor(value),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "rules",
    [
        {"temperature": 0.37},
        {"temperature": 3.1},
        {"top_k": 1},
        {"top_k": 50},
        {"top_p": 0.1},
        {"top_p": 0.83},
        {"min_p": 0.07},
        {"repetition_penalty": 1.3},
        {"repetition_penalty": 0.8},
        {"repetition_penalty": 1.2, "temperature": 0.8, "top_k": 60, "top_p": 0.91, "min_p": 0.04},
    ],
    ids=str,
)
def test_transformers_agrees(rules, seed):
    row = torch.randn(300, generator=torch.Generator().manual_seed(seed)) * 3
    prompt, counts = [3, 7, 7, 250], {9: 2, 3: 1}
    scores = row[None].clone()
    for name in ("repetition_penalty", "temperature", "top_k", "top_p", "min_p"):
        if name in rules:
            if name == "top_p":  # no sum so near p that float32 could decide otherwise
                sums = scores[0].double().softmax(-1).sort(descending=True).values.cumsum(0)
                assert (sums - rules[name]).abs().min() > 1e-5
            scores = PROCESSORS[name](rules[name])(torch.tensor([[*prompt, 9, 3, 9]]), scores)
    found = distribution(row, Sampling(**rules), prompt=prompt, counts=counts)
    assert found.ids_K.tolist() == scores[0].isfinite().nonzero()[:, 0].tolist()
    assert_close(spread(found, 300), scores[0].softmax(-1))


# The order: each of these comes out otherwise with the two rules swapped.


def test_grammar_before_penalties():
    """The grammar's mass is the model's own, not that of penalised logits."""
    found = distribution(logs(0.5, 0.3, 0.2), Sampling(presence_penalty=5), mask(0, 1, 1), counts={0: 1})
    assert found.cuts[0].mass == pytest.approx(0.5)


def test_penalties_before_bias():
    row, sampling = torch.tensor([2.0, 0.0]), Sampling(repetition_penalty=2, logit_bias={0: 3.0})
    ratio = distribution(row, sampling, prompt=[0]).probs_K.log().diff().item()
    assert ratio == pytest.approx(-(2 / 2 + 3))


def test_bias_before_temperature():
    found = distribution(torch.tensor([2.0, 0.0]), Sampling(temperature=0.5, logit_bias={0: 3.0}))
    assert found.probs_K.log().diff().item() == pytest.approx(-(2 + 3) / 0.5)


def test_temperature_before_top_k():
    found = distribution(logs(0.64, 0.32, 0.04), Sampling(temperature=0.5, top_k=1))
    assert found.cuts[0].mass == pytest.approx(1 - 0.64**2 / (0.64**2 + 0.32**2 + 0.04**2), abs=1e-6)


def test_temperature_before_top_p():
    row = logs(0.64, 0.32, 0.04)
    assert distribution(row, Sampling(top_p=0.7)).ids_K.tolist() == [0, 1]
    assert distribution(row, Sampling(top_p=0.7, temperature=0.5)).ids_K.tolist() == [0]


def test_top_k_before_top_p():
    found = distribution(logs(0.4, 0.3, 0.2, 0.1), Sampling(top_k=2, top_p=0.5))
    assert found.ids_K.tolist() == [0]  # 0.4 of 0.7 is enough; 0.4 of 1 is not


def test_top_p_before_min_p():
    found = distribution(logs(0.4, 0.3, 0.1, 0.1, 0.1), Sampling(top_p=0.55, min_p=0.5))
    assert found.ids_K.tolist() == [0, 1]  # min-p first would leave 0.4 of 0.7, enough for top-p


# Penalties and bias, by hand.


def test_penalties_by_hand():
    row, prompt, counts = torch.tensor([2.0, -2.0, 1.0, 0.0]), [0, 1, 1], {2: 3}

    def after(**rules) -> list[float]:
        logprobs = distribution(row, Sampling(**rules), prompt=prompt, counts=counts).probs_K.log()
        return (logprobs - logprobs[3]).tolist()

    assert after(repetition_penalty=2) == pytest.approx([1, -4, 0.5, 0], abs=1e-5)  # prompt and completion, once each
    assert after(presence_penalty=0.5) == pytest.approx([2, -2, 0.5, 0], abs=1e-5)  # completion only
    assert after(frequency_penalty=0.5) == pytest.approx([2, -2, -0.5, 0], abs=1e-5)  # for each time
    every = after(repetition_penalty=2, presence_penalty=0.25, frequency_penalty=-1)
    assert every == pytest.approx([1, -4, 0.5 - 0.25 + 3, 0], abs=1e-5)


def test_bias_adds_and_minus_infinity_bans():
    found = distribution(torch.zeros(3), Sampling(logit_bias={0: -INF, 1: 1.0}))
    assert spread(found, 3).tolist() == pytest.approx([0, math.e / (1 + math.e), 1 / (1 + math.e)])
    assert {choose(torch.zeros(3), Draw(Sampling(logit_bias={0: -INF}), u)).id for u in (0.0, 0.4, JUST_BELOW_1)} == {1, 2}


# Rows at the edge.


@pytest.mark.parametrize(
    ("rule", "kept"), [({"top_k": 3}, [0, 1, 2]), ({"top_p": 0.25}, [0, 1, 2]), ({"min_p": 1.0}, [*range(10)])], ids=str
)
def test_all_equal(rule, kept):
    found = distribution(torch.full((10,), 7.5), Sampling(**rule))
    assert found.ids_K.tolist() == kept
    assert found.probs_K.tolist() == pytest.approx([1 / len(kept)] * len(kept))


EVERY = Sampling(0.7, 5, 0.9, 0.1, 1.3, 0.2, 0.1, {0: -1.0})


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_one_token_left(temperature):
    assert distribution(torch.tensor([5.0]), EVERY, prompt=[0], counts={0: 2}).probs_K.tolist() == [1]
    only = torch.tensor([-INF, -INF, -40.0, -INF])
    sampling = Sampling(temperature, top_p=0.9, min_p=0.1)
    assert spread(distribution(only, sampling), 4).tolist() == [0, 0, 1, 0]
    assert spread(distribution(torch.arange(4.0), sampling, mask(0, 0, 1, 0)), 4).tolist() == [0, 0, 1, 0]
    assert {choose(only, Draw(sampling, u)).id for u in (0.0, 0.5, JUST_BELOW_1)} == {2}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("row", [[-INF] * 3, [NAN] * 3, [INF] * 3, [0, NAN, 1], [0, INF, 1], [-INF, NAN, -INF]], ids=str)
def test_nothing_to_choose_from(row, temperature):
    with pytest.raises(LiuliError, match="no token can be chosen"):
        distribution(torch.tensor(row), Sampling(temperature))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nothing_allowed(temperature):
    with pytest.raises(LiuliError, match="no token can be chosen"):
        distribution(torch.zeros(3), Sampling(temperature), mask(0, 0, 0))
    with pytest.raises(LiuliError, match="no token can be chosen"):
        distribution(torch.zeros(3), Sampling(temperature, logit_bias={1: -INF}), mask(0, 1, 0))


@pytest.mark.parametrize("bad", [NAN, INF])
def test_a_broken_logit_behind_the_grammar_leaves_no_nan(bad):
    with contextlib.suppress(LiuliError):  # to refuse the row is as good
        found = distribution(torch.tensor([1.0, 3.0, bad]), Sampling(), mask(1, 1, 0))
        assert math.isfinite(found.cuts[0].mass)


@pytest.mark.parametrize("temperature", [5e-324, 1e-46, 1e-40, 1e-30, 1e-10, 1e10, 1e39, 1.7e308])
def test_extreme_temperatures(temperature):
    found = distribution(torch.tensor([1.0, 3.0, 2.0, -INF]), Sampling(temperature))
    wanted = [0, 1, 0, 0] if temperature < 1 else [1 / 3, 1 / 3, 1 / 3, 0]
    assert spread(found, 4).tolist() == pytest.approx(wanted)


def test_a_tiny_temperature_does_not_overflow():
    row = torch.tensor([-3e38, 3e38, 1e30, -INF])
    assert spread(distribution(row, Sampling(1e-30)), 4).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("temperature", [0.05, 1e9])
def test_top_k_keeps_the_likeliest_where_probabilities_round_to_the_same(temperature):
    found = distribution(torch.tensor([0.0, -12.0, -11.0, -3.0]), Sampling(temperature, top_k=3))
    assert found.ids_K.tolist() == [0, 2, 3]


@pytest.mark.parametrize("rule", [{"top_k": 4}, {"top_p": 1 - 1e-16}, {"min_p": 1e-50}], ids=str)
def test_no_rule_brings_back_what_the_grammar_cut(rule):
    found = distribution(torch.tensor([1.0, 3.0, 2.0, 0.0, 0.0]), Sampling(**rule), mask(0, 0, 1, 0, 1))
    assert all(cut.kept.tolist() == [2, 4] for cut in found.cuts)
    assert found.ids_K.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("row", "more", "id"),
    [
        ([1, 3, 2, 3], {}, 1),
        ([0, 0, 0], {}, 0),
        ([-INF, -5, -5], {}, 1),
        ([1, 3, 2, 3], {"allowed_V": mask(1, 0, 1, 1)}, 3),
        ([1, 3, 2, 3], {"prompt": [1]}, 3),
        ([1, 3, 2, 3], {"counts": {1: 1, 3: 1}}, 2),
        ([1, 3, 2, 3, 9], {"allowed_V": mask(1, 1, 1, 1, 0), "prompt": [1, 3]}, 2),
    ],
    ids=str,
)
def test_temperature_0_is_the_lowest_of_the_largest(row, more, id):
    draw = Draw(Sampling(0.0, repetition_penalty=2, presence_penalty=1.75, top_k=1, top_p=0.1), 0.99, **more)
    choice = choose(torch.tensor(row, dtype=torch.float32), draw)
    assert (choice.id, choice.uniform, choice.distribution.probs_K.tolist()) == (id, 0.99, [1])


def test_temperature_0_comes_after_bias():
    assert choose(torch.tensor([1.0, 3.0]), Draw(Sampling(0.0, logit_bias={0: 2.0}), 0.5)).id == 0
    assert choose(torch.tensor([1.0, 3.0]), Draw(Sampling(0.0, logit_bias={1: -INF}), 0.5)).id == 0


# The draw.


def test_pick_in_id_order():
    probs = torch.tensor([0.0, 0.25, 0.0, 0.5, 0.25, 0.0])
    at = [0.0, 0.2499, 0.25, 0.7499, 0.75, JUST_BELOW_1]
    assert [pick(probs, u) for u in at] == [1, 1, 3, 3, 4, 4]


@examples
@given(
    st.lists(st.one_of(st.just(0.0), st.floats(1e-4, 1)), min_size=1, max_size=30).filter(any),
    st.floats(0, 1, exclude_max=True),
)
def test_pick_is_the_inverse_cdf(weights, uniform):
    probs = torch.tensor(weights)
    probs /= probs.sum()
    place = pick(probs, uniform)
    assert probs[place] > 0
    sums = np.cumsum(probs.double().numpy())
    assert sums[place] - probs[place].item() - 1e-12 <= uniform * sums[-1] <= sums[place] + 1e-12
    possible = probs.nonzero()[:, 0].tolist()
    assert (pick(probs, 0.0), pick(probs, JUST_BELOW_1)) == (possible[0], possible[-1])


@examples
@given(
    rows,
    st.builds(
        Sampling,
        temperature=st.floats(0.05, 5),
        top_k=st.integers(0, 12),
        top_p=st.floats(0.05, 1),
        min_p=st.floats(0, 0.5),
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_the_number_lies_in_the_interval_of_the_chosen_token(row, sampling, uniform):
    choice = choose(row, Draw(sampling, uniform))
    intervals = choice.distribution.intervals(torch.arange(len(row)))
    holding = [id for id, each in enumerate(intervals) if each and each[0] <= uniform < each[1]]
    assert holding == [choice.id]


@examples
@given(rows, st.integers(0, 12), st.floats(0.05, 1))
def test_the_intervals_cover_the_line_in_id_order(row, k, p):
    found = distribution(row, Sampling(top_k=k, top_p=p))
    intervals = found.intervals(torch.arange(len(row)))
    assert [id for id, each in enumerate(intervals) if each] == found.ids_K.tolist()
    kept = [each for each in intervals if each]
    assert (kept[0][0], kept[-1][1]) == (0, 1)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(kept))
    assert [upper - lower for lower, upper in kept] == pytest.approx(found.probs_K.tolist(), abs=1e-5)


def test_pick_gives_each_its_share():
    probs, count = torch.randn(30, generator=torch.Generator().manual_seed(0)).mul(2).softmax(-1), 4000
    picked = np.bincount([pick(probs, (i + 0.5) / count) for i in range(count)], minlength=30)
    assert np.abs(picked - count * probs.numpy()).max() <= 1.001


def test_choose_maps_places_to_ids():
    row = logs(0.1, 0.4, 0.1, 0.4)
    assert [choose(row, Draw(Sampling(top_k=2), u)).id for u in (0.0, 0.49, 0.51, JUST_BELOW_1)] == [1, 1, 3, 3]


# What a distribution says of itself.


def test_logprobs_and_cuts_of_every_rule():
    row = logs(0.4, 0.25, 0.15, 0.1, 0.06, 0.04)
    found = distribution(row, Sampling(top_k=4, top_p=0.85, min_p=0.5), mask(0, 1, 1, 1, 1, 1))
    assert [cut.rule for cut in found.cuts] == ["grammar", "top_k", "top_p", "min_p"]
    assert [cut.kept.tolist() for cut in found.cuts] == [[1, 2, 3, 4, 5], [1, 2, 3, 4], [1, 2, 3], [1, 2]]
    assert [cut.mass for cut in found.cuts] == pytest.approx([0.4, 0.04 / 0.6, 0.06 / 0.56, 0.1 / 0.5], abs=1e-6)
    ids = torch.tensor([5, 0, 3, 1, 4, 2])
    assert found.cut_by(ids) == ["top_k", "grammar", "min_p", None, "top_p", None]
    assert found.logprobs(ids) == pytest.approx([-INF, -INF, -INF, math.log(0.625), -INF, math.log(0.375)], abs=1e-6)


def test_logprobs_and_cuts_of_greedy():
    found = distribution(logs(0.1, 0.6, 0.3), Sampling(0.0), mask(1, 0, 1))
    ids = torch.arange(3)
    assert found.cut_by(ids) == [None, "grammar", None]  # 0 was merely passed over
    assert found.logprobs(ids) == [-INF, -INF, 0]


def test_nothing_is_cut_by_default():
    row = logs(0.1, 0.6, 0.3)
    found = distribution(row, Sampling())
    assert found.cuts == []
    assert found.cut_by(torch.arange(3)) == [None] * 3
    assert found.logprobs(torch.arange(3)) == pytest.approx(row.tolist(), abs=1e-6)


# Settings.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("temperature", value) for value in (-0.1, NAN, INF, -INF)],
        *[("top_k", value) for value in (-1, 1.5, NAN, INF)],
        *[("top_p", value) for value in (0, -0.1, 1.1, NAN, INF)],
        *[("min_p", value) for value in (-0.1, 1.1, NAN, INF)],
        *[("repetition_penalty", value) for value in (0, -1, NAN, INF)],
        *[("presence_penalty", value) for value in (NAN, INF, -INF)],
        *[("frequency_penalty", value) for value in (NAN, INF, -INF)],
    ],
)
def test_a_setting_out_of_range(name, value):
    with pytest.raises(LiuliError, match=f"{name} must be .*, not {value}"):
        Sampling(**{name: value})


@pytest.mark.parametrize("bias", [NAN, INF])
def test_a_logit_bias_out_of_range(bias):
    with pytest.raises(LiuliError, match=f"logit bias of token 7 must be a number or -inf, not {bias}"):
        Sampling(logit_bias={3: 1.0, 7: bias})


def test_settings_at_their_bounds():
    Sampling(0.0, 0, 1.0, 0.0, 0.01, -2.0, -2.0, {0: -INF})
    Sampling(100.0, 10**9, 1e-9, 1.0, 10.0, 2.0, 2.0)


@pytest.mark.parametrize("k", [3.0, True])
def test_top_k_is_an_int(k):
    with pytest.raises(LiuliError, match="top_k must be a whole number"):
        Sampling(top_k=k)
