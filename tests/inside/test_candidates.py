"""One choice of a token: the whole distribution, the intervals on the line from 0 to 1, and the choice under other settings, by
hand in fp64 from the logits of `transformers`."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import safetensors.torch
from helpers.oracles import TEXT

from liuli import LiuliError, load
from liuli.inside import candidates as candidates_module
from liuli.inside.candidates import candidates

STEP_SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "step-record.schema.json"
SETTINGS = (
    {"temperature": 1.0},
    {"temperature": 0.7, "top_k": 20},
    {"temperature": 1.5, "top_p": 0.8},
    {"temperature": 1.0, "min_p": 0.1},
    {"temperature": 0.9, "top_k": 30, "top_p": 0.9, "min_p": 0.02},
    {"temperature": 0},
)


def by_hand(logits: np.ndarray, temperature: float = 1, top_k: int = 0, top_p: float = 1, min_p: float = 0) -> np.ndarray:
    """The distribution after the sampler, fp64 (V,)."""
    if temperature == 0:
        return np.eye(len(logits))[logits.argmax()]
    scaled = np.exp((logits - logits.max()) / temperature)
    probs = scaled / scaled.sum()
    order = np.argsort(-probs, kind="stable")
    keep = np.ones(len(probs), bool)
    if top_k:
        keep[order[top_k:]] = False
    probs = np.where(keep, probs, 0) / probs[keep].sum()
    if top_p < 1:
        before = np.cumsum(probs[order]) - probs[order]  # what stands before each in order of probability
        keep[order[before >= top_p]] = False
        probs = np.where(keep, probs, 0) / probs[keep].sum()
    if min_p:
        keep &= probs >= min_p * probs.max()
        probs = np.where(keep, probs, 0) / probs[keep].sum()
    return probs


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_intervals_and_choice_by_hand(oracle, settings):
    view = candidates(oracle.model, TEXT, seed=5, sampling=settings)
    logits = oracle.logits(oracle.ids(TEXT))[-1].double().numpy()
    assert view.ok and view.logits == pytest.approx(logits, abs=1e-4)
    probs = by_hand(logits, **settings)
    upper = np.cumsum(probs)
    scores, step = view.step.scores, view.step
    for each in scores.candidates:
        token = each.token.id
        assert np.exp(each.logprob) == pytest.approx(np.exp(logits[token]) / np.exp(logits).sum(), abs=1e-5)
        assert np.exp(each.sampled_logprob) == pytest.approx(probs[token], abs=1e-5)
        if each.interval is None:
            assert probs[token] == 0
        else:
            assert each.interval == pytest.approx((upper[token] - probs[token], upper[token]), abs=1e-5)
    lower, end = scores.interval
    assert lower <= step.uniform < end
    assert upper[step.token.id] - probs[step.token.id] - 1e-5 <= step.uniform <= upper[step.token.id] + 1e-5
    # In id order, the first id whose cumulative probability exceeds the number: away from a boundary, this is exact.
    if min(abs(upper - step.uniform)) > 1e-5:
        assert step.token.id == (upper > step.uniform).argmax()


def test_the_intervals_of_all_ids_fill_the_line(tiny):
    view = candidates(tiny, "the cat", sampling={"temperature": 1.0})
    probs = by_hand(view.logits.astype(np.float64))
    listed = {each.token.id: each.interval for each in view.step.scores.candidates}
    assert len(listed) == 40
    ends = np.cumsum(probs)
    for token, (lower, upper) in listed.items():
        assert (lower, upper) == pytest.approx((ends[token] - probs[token], ends[token]), abs=1e-5)
    total = sum(upper - lower for lower, upper in listed.values())
    assert total == pytest.approx(sum(probs[token] for token in listed), abs=1e-5)


def test_the_entropy_and_the_cuts(tiny):
    view = candidates(tiny, "the cat", sampling={"temperature": 1.0, "top_k": 10})
    probs = by_hand(view.logits.astype(np.float64))
    assert view.step.scores.entropy == pytest.approx(-(probs * np.log(probs)).sum(), abs=1e-4)
    ((rule, kept, mass),) = view.step.scores.cuts
    assert (rule, kept) == ("top_k", 10)
    assert mass == pytest.approx(np.sort(probs)[:-10].sum(), abs=1e-5)


@pytest.mark.parametrize("settings", SETTINGS[1:], ids=str)
def test_under_other_settings_the_choice_is_that_of_the_engine(tiny, settings):
    """The same random number and the same logits: what the engine does when it is asked again."""
    for seed in range(20):
        view = candidates(tiny, "the cat", seed, {"temperature": 1.0})
        token, scores = view.under(tiny.tokenizer, **settings)
        again = candidates(tiny, "the cat", seed, settings).step
        assert token == again.token and view.step.uniform == again.uniform
        assert scores.interval == pytest.approx(again.scores.interval, abs=1e-6)
        assert [each.cut for each in scores.candidates] == [each.cut for each in again.scores.candidates]


def broken_at(monkeypatch, tiny, settings, change):
    """The view whose recomputation sees changed logits."""
    real = candidates_module.logits_in_chunks
    monkeypatch.setattr(candidates_module, "logits_in_chunks", lambda *given: (change(logits) for logits in real(*given)))
    return candidates(tiny, "the cat", 5, settings)


@pytest.mark.parametrize("rule", ["top_p", "min_p"])
def test_a_token_at_the_bound_of_a_rule(tiny, monkeypatch, rule):
    """Its probability differs by rounding between two passes, so it is kept once and removed once. That is no error."""
    probs = np.sort(by_hand(candidates(tiny, "the cat").logits.astype(np.float64)))[::-1]
    bound = float(probs[:3].sum() if rule == "top_p" else probs[3] / probs[0])
    kept = set()
    for by in (-2e-6, 2e-6):
        view = broken_at(monkeypatch, tiny, {"temperature": 1.0, rule: bound}, lambda logits, by=by: rounded(logits, by))
        _, again = view.under(tiny.tokenizer)
        kept.add(sum(each.cut is None for each in again.candidates))
        assert view.ok, view.checks
        monkeypatch.undo()
    assert len(kept) == 2  # one of the two cuts otherwise than the engine


def rounded(logits, by):
    """The likeliest token a little likelier."""
    logits = logits.clone()
    logits[..., logits.argmax(-1)] += by
    return logits


def test_two_tokens_that_swap_their_ranks(tiny_folder, tmp_path, monkeypatch):
    """Of two tokens with almost the same logit, top-k keeps one."""
    folder = shutil.copytree(tiny_folder, tmp_path / "tie")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    model = load(tiny_folder)
    first, second = candidates(model, "the cat").logits.argsort()[::-1][:2]
    tensors["lm_head.weight"][second] = tensors["lm_head.weight"][first]
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    def swap(logits):
        logits = logits.clone()
        logits[..., max(first, second)] += 1e-6
        return logits

    for settings in ({"temperature": 1.0, "top_k": 1}, {"temperature": 0}):
        view = broken_at(monkeypatch, load(folder), settings, swap)
        token, _ = view.under(model.tokenizer)
        assert token.id != view.step.token.id and view.ok, view.checks
        monkeypatch.undo()


def test_the_chosen_token_is_compared(tiny, monkeypatch):
    """Not only the probabilities of those that are listed."""
    real = candidates_module._checks

    def checks(view, *given):
        other = next(each.token for each in view.step.scores.candidates if each.token != view.step.token)
        return real(replace(view, step=replace(view.step, token=other)), *given)

    monkeypatch.setattr(candidates_module, "_checks", checks)
    view = candidates(tiny, "the cat", 5, {"temperature": 1.0})
    assert [check.name for check in view.checks if not check.ok] == ["recomputed_equals_the_step"]


def test_penalties_see_the_prompt(tiny):
    view = candidates(tiny, "the cat the", sampling={"temperature": 0, "repetition_penalty": 5.0})
    token, _ = view.under(tiny.tokenizer, repetition_penalty=1.0)
    assert view.ok and token == candidates(tiny, "the cat the", sampling={"temperature": 0}).step.token


def test_the_choice_is_that_of_complete(tiny):
    for seed in range(5):
        step = candidates(tiny, "the cat", seed).step
        assert [step.token.id] == tiny.complete("the cat", max_tokens=1, seed=seed).ids
        assert step.scores.candidates


def test_settings_are_those_of_the_model_unless_given(tiny):
    view = candidates(tiny, "the cat", sampling={"top_k": 3})
    assert view.sampling == replace(tiny.sampling, top_k=3)
    assert view.sampling_source == tiny.sampling_source


def test_the_step_is_as_its_own_schema_says(tiny):
    schema = json.loads(STEP_SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(candidates(tiny, "the cat").to_json()["body"]["step"], schema)


def test_bad_input(tiny):
    with pytest.raises(LiuliError, match="temperature"):
        candidates(tiny, "the cat", sampling={"temperature": -1})
    with pytest.raises(LiuliError, match="there is no setting 'heat'"):
        candidates(tiny, "the cat", sampling={"heat": 1})
    with pytest.raises(LiuliError, match="context"):
        candidates(tiny, "a" * 127)  # 128 tokens: no room for the next one
    with pytest.raises(LiuliError, match=r"^no token can be chosen|exclude every token"):
        candidates(tiny, "a", sampling={"logit_bias": dict.fromkeys(range(270), -np.inf)})
