"""Every check of a view can fail: each is shown to fail when what it watches over is broken."""

from dataclasses import replace

import numpy as np
import pytest

from liuli.inside import (
    ablation,
    attention,
    branches,
    candidates,
    context,
    gradient,
    influence,
    learning,
    lens,
    patching,
    path,
    scoring,
    self_check,
    tokens,
    vectors,
)  # fmt: skip
from liuli.inside.self_check import MEANINGS, SelfCheck, largest, limit_in
from liuli.inside.tape import Tape
from liuli.inside.views import Subject, make_view

TEXT = "the cat 金"


def changed(monkeypatch, module, name, change):
    """Replaces a function of a module by one whose result is changed."""
    real = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *given, **named: change(real(*given, **named)))


def uncover(read):
    tokens = [replace(token, span=(0, 0)) if token.text == "c" else token for token in read.tokens]
    return replace(read, tokens=tuple(tokens))


def one_later(contrast):
    return contrast + 0.1


def moved_states(found):
    states, tape = found
    return states + 0.5, tape


def grows(monkeypatch):
    """Each pass over a sentence gives slightly larger vectors than the one before."""
    real, passes = context._read_padded, []

    def read(*given):
        tape = real(*given)
        passes.append(None)
        for name in tape._kept:
            tape._kept[name] = tape._kept[name] + 1e-6 * len(passes)
        return tape

    monkeypatch.setattr(context, "_read_padded", read)


def late_residuals(monkeypatch):
    real = Tape.residuals
    monkeypatch.setattr(Tape, "residuals", lambda tape: [x + 0.1 for x in real(tape)])


def other_temperature(monkeypatch):
    """Only the probabilities after the sampler differ."""
    real = candidates.CandidatesView.under

    def under(view, tokenizer, **settings):
        return real(view, tokenizer, **{**settings, "temperature": 0.5})

    monkeypatch.setattr(candidates.CandidatesView, "under", under)


def other_number(monkeypatch):
    real = candidates._checks

    def checks(view, *given):
        _, upper = view.step.scores.interval
        return real(replace(view, step=replace(view.step, uniform=upper + 0.01)), *given)

    monkeypatch.setattr(candidates, "_checks", checks)


BREAKS = {  # check -> (view, what breaks it)
    "stages_equal_the_model": ("path", lambda patch: changed(patch, path, "_sum_of_stages", lambda x: x + x.flip(0))),
    "steps_equal_ids": ("tokens", lambda patch: changed(patch, tokens, "trace", lambda chunks: chunks[1:])),
    "every_character_is_covered": ("tokens", lambda patch: changed(patch, tokens, "read_passage", uncover)),
    "cosines_recomputed": (
        "vectors", lambda patch: changed(patch, vectors, "_search", lambda found: (*found[:2], found[2] + 1e-3))
    ),
    "identical_prefixes": ("context", grows),
    "distributions_sum_to_1": (
        "lens", lambda patch: changed(patch, lens, "logprobs_of", lambda logprobs: logprobs + 1e-3)
    ),
    "attention_rows_sum_to_1": ("attention", lambda patch: changed(patch, attention, "attention_weights", lambda w: w * 1.001)),
    "heads_equal_the_decoder": (
        "attention", lambda patch: changed(patch, attention, "attention_weights", lambda w: w.roll(1, 0))
    ),
    "last_layer_equals_the_model": ("lens", late_residuals),
    "recomputed_equals_the_step": (
        "candidates", lambda patch: changed(patch, candidates, "logits_in_chunks", lambda found: (1.5 * each for each in found))
    ),
    "number_in_the_interval": ("candidates", other_number),
    "path_sums": ("branches", lambda patch: changed(patch, branches, "record", moved_states)),
    "scores_sum_to_the_difference": (
        "influence", lambda patch: changed(patch, influence._Inputs, "slopes", lambda slopes: slopes * 1.1)
    ),
    "patching_everything": ("patching", lambda patch: changed(patch, patching, "contrasts", one_later)),
    "patching_nothing": ("ablation", lambda patch: changed(patch, ablation, "contrasts", one_later)),
    "losses_equal_the_mean": (
        "gradient", lambda patch: changed(patch, gradient, "_gradients", lambda found: (found[0] + 0.01, found[1]))
    ),
    "answers_equal_their_steps": (
        "compare",
        lambda patch: changed(patch, scoring.Scoring, "_along", lambda found: (tuple(x + 0.1 for x in found[0]), found[1])),
    ),
}  # fmt: skip


OF_A_RUN = {"shares_are_at_most_1", "truth_sums_to_1", "last_look_equals_the_model"}  # tested below


def subject(model, name):
    texts = ("the cot 金",) if name in ("context", "patching") else ()
    words = {"patching": "a", "context": "the"}  # before `the`, both texts have the same tokens
    return Subject(model, TEXT, texts=texts, word=words.get(name))


def failed(view):
    return {check.name for check in view.checks if not check.ok}


def test_every_check_is_here():
    assert BREAKS.keys() | OF_A_RUN == MEANINGS.keys()


@pytest.mark.parametrize("check", BREAKS)
def test_a_check_fails_when_its_view_is_broken(tiny, monkeypatch, check):
    name, break_it = BREAKS[check]
    assert not failed(make_view(name, subject(tiny, name)))
    break_it(monkeypatch)
    assert check in failed(make_view(name, subject(tiny, name)))


def test_the_sampler_is_recomputed_too(tiny, monkeypatch):
    other_temperature(monkeypatch)
    assert failed(make_view("candidates", subject(tiny, "candidates"))) == {"recomputed_equals_the_step"}


def test_patching_nothing_of_the_view_patching(tiny, monkeypatch):
    changed(monkeypatch, patching, "contrasts", one_later)
    assert failed(make_view("patching", subject(tiny, "patching"))) == {"patching_everything", "patching_nothing"}


def test_shares_of_a_trace(begun_run, monkeypatch):
    real = learning.read_json

    def more(path):
        trace = real(path)
        for look in trace["body"]["probes"][0]["top"] if "body" in trace else ():
            look[0]["logprob"] = 0.1
        return trace

    assert learning.learning(begun_run).ok
    monkeypatch.setattr(learning, "read_json", more)
    assert failed(learning.learning(begun_run)) == {"shares_are_at_most_1", "last_look_equals_the_model"}


def test_the_truth_of_a_world(begun_run, monkeypatch):
    changed(monkeypatch, learning, "token_branch", lambda found: replace(found, tokens={5: 1.0, 6: 0.5}))
    assert failed(learning.learning(begun_run)) == {"truth_sums_to_1"}


def test_the_last_look_at_a_run(begun_run, monkeypatch):
    changed(monkeypatch, learning, "record", moved_states)
    assert failed(learning.learning(begun_run)) == {"last_look_equals_the_model"}


@pytest.mark.parametrize("name", ["lens", "vectors", "context", "ablation", "patching", "branches"])
def test_nan_fails_a_check(tiny, monkeypatch, name):
    """`max` hides a NaN that is not the first value, so the largest difference must not be found with it."""
    module = {"lens": lens, "vectors": vectors, "context": context, "ablation": ablation, "patching": patching,
              "branches": branches}[name]  # fmt: skip
    monkeypatch.setattr(module, "largest", lambda values: largest([*values, np.nan, 0.0]))
    assert failed(make_view(name, subject(tiny, name)))


def test_largest():
    assert largest([]) == 0 and largest([0.1, 0.3, 0.2]) == pytest.approx(0.3)
    assert np.isnan(largest([0.0, np.nan])) and np.isnan(largest([np.nan, 1.0]))


def test_a_check():
    assert SelfCheck("path_sums", 1e-4, "nats", 1e-4).ok and not SelfCheck("path_sums", 2e-4, "nats", 1e-4).ok
    assert not SelfCheck("path_sums", np.nan, "nats", 1e-4).ok
    assert SelfCheck("path_sums", np.nan, "nats", 1e-4).to_json()["value"] is None
    assert SelfCheck("path_sums", 0.0, "nats", 1e-4).meaning == MEANINGS["path_sums"][0]


def test_limits_of_16_bits(tiny):
    import torch

    assert limit_in(torch.float32, 1e-4) == 1e-4
    # fp16 has three bits more than bf16.
    assert limit_in(torch.bfloat16, 1e-4) == 8 * limit_in(torch.float16, 1e-4) == 1e-4 * self_check.FACTORS[torch.bfloat16]
