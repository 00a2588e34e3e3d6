"""The numbers behind a choice against float64, and the JSON of a step."""

import json
import math

import numpy as np
import pytest
import torch

from liuli.generate.record import StepRecord, StepScores, score
from liuli.generate.sampling import Draw, Sampling, choose
from liuli.tokens import Token

INF = math.inf
NONE_CUT = Sampling()
MANY_CUT = Sampling(0.7, 20, 0.9, 0.05, 1.2, 0.1, 0.2, {5: 2.0})


def describe(id: int) -> Token:
    return Token(id, f"t{id}", f"t{id}".encode())


def scored(row, sampling: Sampling = NONE_CUT, allowed=None, candidates: int = 10, uniform: float = 0.5):
    """The choice and its scores."""
    allowed_V = None if allowed is None else torch.as_tensor(allowed, dtype=torch.bool)
    choice = choose(torch.as_tensor(row), Draw(sampling, uniform, allowed_V))
    return choice, score(torch.as_tensor(row), choice, candidates, describe)


def exact_logprobs(row) -> np.ndarray:
    x = np.asarray(row, np.float64)
    return x - x.max() - np.log(np.exp(x - x.max()).sum())


def numbers(body):
    """All numbers in a JSON value."""
    if isinstance(body, dict | list):
        for part in body.values() if isinstance(body, dict) else body:
            yield from numbers(part)
    elif isinstance(body, float):
        yield body


def random_row(seed: int, size: int = 200) -> torch.Tensor:
    row = torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 3
    row[::7] = -INF
    return row


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sampling", [NONE_CUT, MANY_CUT, Sampling(0.0)], ids=["none cut", "many cut", "greedy"])
@pytest.mark.parametrize("grammar", [False, True], ids=["free", "grammar"])
def test_scores_in_float64(sampling, grammar, seed):
    row = random_row(seed)
    allowed = np.arange(200) % 3 != 0 if grammar else np.ones(200, bool)
    choice, scores = scored(row, sampling, allowed if grammar else None, candidates=30, uniform=(seed + 0.5) / 6)
    logprobs = exact_logprobs(row)
    probs = np.exp(logprobs)
    assert scores.logprob == pytest.approx(logprobs[choice.id], abs=1e-5)
    assert scores.entropy == pytest.approx(-(probs[probs > 0] * logprobs[probs > 0]).sum(), abs=1e-4)
    assert choice.distribution.removed_by("grammar") == pytest.approx(probs[~allowed].sum(), abs=1e-5)

    found = choice.distribution
    kept = dict(zip(found.ids_K.tolist(), found.probs_K.double().log().tolist(), strict=True))
    assert scores.sampled_logprob == pytest.approx(kept[choice.id], abs=1e-6)
    upper = found.probs_K.double().cumsum(0) / found.probs_K.double().sum()
    bounds = [0.0, *upper.tolist()]
    intervals = {id: pytest.approx(bounds[i : i + 2], abs=1e-12) for i, id in enumerate(found.ids_K.tolist())}
    assert scores.interval == intervals[choice.id]
    assert scores.cuts == [(cut.rule, len(cut.kept), cut.mass) for cut in found.cuts]

    order = np.argsort(-row.double().numpy(), kind="stable")[:30]
    assert [one.token for one in scores.candidates] == [describe(id) for id in order.tolist()]
    for id, one in zip(order.tolist(), scores.candidates, strict=True):
        assert one.logit == row[id].item()
        assert one.logprob == pytest.approx(logprobs[id], abs=1e-5)
        assert one.sampled_logprob == pytest.approx(kept.get(id, -INF), abs=1e-6)
        assert one.interval == (intervals[id] if id in kept else None)
        by = [cut.rule for cut in found.cuts if id not in cut.kept]
        assert one.cut == (by[0] if by else None)


@pytest.mark.parametrize("seed", range(3))
def test_without_cuts_the_sampled_distribution_is_the_models(seed):
    _, scores = scored(random_row(seed), uniform=0.8)
    assert scores.sampled_logprob == pytest.approx(scores.logprob, abs=1e-5)
    assert [one.sampled_logprob for one in scores.candidates] == pytest.approx(
        [one.logprob for one in scores.candidates], abs=1e-5
    )


def test_by_hand():
    row = torch.tensor([0.4, 0.25, 0.15, 0.1, 0.06, 0.04]).log()
    choice, scores = scored(row, Sampling(top_k=4, top_p=0.85, min_p=0.5), [0, 1, 1, 1, 1, 1], candidates=9, uniform=0.9)
    assert choice.id == 2
    assert scores.logprob == pytest.approx(math.log(0.15), abs=1e-6)
    assert scores.sampled_logprob == pytest.approx(math.log(0.375), abs=1e-6)
    assert choice.distribution.removed_by("grammar") == pytest.approx(0.4)
    assert [(one.token.id, one.cut) for one in scores.candidates] == [
        (0, "grammar"), (1, None), (2, None), (3, "min_p"), (4, "top_p"), (5, "top_k"),
    ]  # fmt: skip
    assert [one.interval for one in scores.candidates if one.interval] == [
        pytest.approx((0, 0.625), abs=1e-6), pytest.approx((0.625, 1), abs=1e-6)
    ]  # fmt: skip
    body = scores.to_json()
    assert [(cut["rule"], cut["kept"]) for cut in body["cuts"]] == [("grammar", 5), ("top_k", 4), ("top_p", 3), ("min_p", 2)]
    assert [cut["mass"] for cut in body["cuts"]] == pytest.approx([0.4, 0.04 / 0.6, 0.06 / 0.56, 0.2], abs=1e-6)


@pytest.mark.parametrize(
    ("row", "entropy"), [([0.0] * 8, math.log(8)), ([-INF, 3, -INF], 0), ([5.0], 0), ([0, -INF, 0], math.log(2))], ids=str
)
def test_entropy(row, entropy):
    assert scored(torch.tensor(row))[1].entropy == pytest.approx(entropy, abs=1e-6)


def test_candidates_that_tie_come_by_lower_id():
    choice, scores = scored(torch.zeros(10), Sampling(0.0), candidates=3)
    assert choice.id == 0
    assert [one.token.id for one in scores.candidates] == [0, 1, 2]


def test_what_a_rule_removed_is_at_most_1():
    choice, _ = scored(torch.tensor([-200.0] + [0.0] * 10), allowed=[1] + [0] * 10)
    assert 1 - 1e-6 <= choice.distribution.removed_by("grammar") <= 1
    assert choice.distribution.removed_by("top_k") == 0


def test_no_candidates():
    _, scores = scored(torch.zeros(5), candidates=0)
    assert scores.candidates == []
    assert scores.to_json()["candidates"] == []


def test_probability_0_is_null():
    _, scores = scored(torch.tensor([1.0, -INF, 0.0]), Sampling(0.0))
    assert [[one[name] for name in ("logit", "logprob", "sampled_logprob")] for one in scores.to_json()["candidates"]] == [
        [1.0, pytest.approx(-0.31326, abs=1e-5), 0.0],
        [0.0, pytest.approx(-1.31326, abs=1e-5), None],
        [None, None, None],
    ]


@pytest.mark.parametrize(
    "sampling", [NONE_CUT, MANY_CUT, Sampling(0.0), Sampling(1e-30)], ids=["none cut", "many cut", "greedy", "cold"]
)
@pytest.mark.parametrize("row", [random_row(0), torch.tensor([3e38, -3e38, -INF, 0, 0, 1.0])], ids=["random", "huge"])
def test_json_is_strict(row, sampling):
    choice, scores = scored(row, sampling, [0] + [1] * (len(row) - 1), candidates=len(row))
    record = StepRecord("r1", 0, 5, describe(choice.id), "é🙂", False, 0.5, scores, 1.23456, "length", None, [None, -1.5, -INF])
    body = record.to_json()
    assert json.loads(json.dumps(body, allow_nan=False)) == body
    assert all(math.isfinite(number) for number in numbers(body))
    assert body["prompt_logprobs"] == [None, -1.5, None]
    assert body["ms"] == 1.235


PLAIN = {"request", "index", "position", "token", "text", "forced", "uniform", "ms", "finish_reason"}
SCORED = {"logprob", "sampled_logprob", "entropy", "interval", "cuts", "candidates"}


def test_fields():
    token = describe(7)
    plain = StepRecord("r1", 2, 9, token, "t7", forced=True, uniform=0.25)
    assert plain.to_json() == {
        "request": "r1", "index": 2, "position": 9, "token": {"id": 7, "text": "t7", "bytes": [116, 55]}, "text": "t7",
        "forced": True, "uniform": 0.25, "ms": 0.0, "finish_reason": None,
    }  # fmt: skip
    scores = StepScores(-1.0, -0.5, 2.0, (0.0, 1.0))
    assert set(StepRecord("r1", 2, 9, token, "t7", scores=scores).to_json()) == PLAIN | SCORED
    assert set(StepRecord("r1", 2, 9, token, "t7", prompt_logprobs=[]).to_json()) == PLAIN | {"prompt_logprobs"}
    constrained = StepRecord("r1", 2, 9, token, "t7", removed=0.25, captures={"thought": "Hm"})
    assert set(constrained.to_json()) == PLAIN | {"removed", "captures"}


def test_an_end_without_a_token():
    body = StepRecord("r1", 2, 9, None, "rest", finish_reason="error", error="why").to_json()
    assert set(body) == PLAIN | {"error"}
    assert (body["token"], body["uniform"], body["finish_reason"], body["error"]) == (None, None, "error", "why")
