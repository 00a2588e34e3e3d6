"""Playback of a run: the numbers of its trace, the truth of its world, and traces that are damaged."""

import json
import shutil

import numpy as np
import pytest

from liuli import LiuliError, load
from liuli.inside.learning import learning
from liuli.inside.lens import lens
from liuli.world import World

PROMPT = "小明今天去游乐园玩"


@pytest.fixture
def run(begun_folder, tmp_path):
    """A copy of the run, without the world next to it, that a test may damage."""
    return shutil.copytree(begun_folder / "run", tmp_path / "run", symlinks=True)


def body_of(folder):
    return json.loads((folder / "trace.json").read_text(encoding="utf-8"))["body"]


def change(folder, edit):
    path = folder / "trace.json"
    trace = json.loads(path.read_text(encoding="utf-8"))
    edit(trace["body"])
    path.write_text(json.dumps(trace), encoding="utf-8")


def test_the_numbers_are_those_of_the_trace(begun_run, begun_folder):
    view, body = learning(begun_run), body_of(begun_folder / "run")
    assert view.ok and view.steps.tolist() == body["steps"] and view.tokens.tolist() == body["tokens_seen"]
    assert np.isnan(view.loss[0]) and body["loss"][0] is None
    assert view.loss[1:] == pytest.approx(body["loss"][1:])
    assert view.validation == tuple((row["step"], row["nats_per_token"]) for row in body["validation"])
    (prompt,), (probe,) = view.prompts, body["probes"]
    assert prompt.input.text == PROMPT and view.input == prompt.input
    assert list(prompt.input.ids) == probe["input"]["ids"]
    assert prompt.top.tolist() == [[each["token"]["id"] for each in look] for look in probe["top"]]
    assert prompt.top_logprobs == pytest.approx(np.array([[each["logprob"] for each in look] for look in probe["top"]]))
    assert prompt.entropy == pytest.approx(probe["entropy"])
    assert {token.id for token in prompt.candidates} == set(prompt.top.flatten().tolist())


def test_the_last_step_is_the_model_as_it_is_now(begun_run):
    """Nearly: the checkpoint is the average of the weights of the last steps."""
    now, recorded = lens(begun_run, PROMPT, positions=(-1,)), learning(begun_run).prompts[0]
    assert now.top_logprobs[0, -1] == pytest.approx(recorded.top_logprobs[-1, :5], abs=0.5)


def test_the_truth_is_that_of_the_world(begun_run, run):
    truth = {piece.text: piece.probability for piece in learning(begun_run).prompts[0].truth}
    assert truth == World().next_pieces(PROMPT) and list(truth.values()) == sorted(truth.values(), reverse=True)
    assert learning(load(run)).prompts[0].truth == ()  # no world next to the run
    assert learning(load(run), World()).prompts[0].truth == learning(begun_run).prompts[0].truth


def test_a_prompt_that_is_in_no_world(run):
    def other(body):
        body["probes"][0]["input"]["text"] = "The capital of France is"

    change(run, other)
    (prompt,) = learning(load(run), World()).prompts
    assert prompt.truth == () and prompt.input.text == "The capital of France is"
    assert list(prompt.input.ids) == body_of(run)["probes"][0]["input"]["ids"]  # the ids that the model read


def test_probability_zero_is_nan(run):
    def zero(body):
        body["probes"][0]["top"][0][-1]["logprob"] = None

    change(run, zero)
    view = learning(load(run))
    assert np.isnan(view.prompts[0].top_logprobs[0, -1]) and view.ok
    json.dumps(view.to_json(), allow_nan=False)


DAMAGES = {
    "no probes": lambda body: body.pop("probes"),
    "no steps": lambda body: body.pop("steps"),
    "a word for a number": lambda body: body["steps"].__setitem__(0, "x"),
    "a step that is too large": lambda body: body["steps"].__setitem__(0, 2**80),
    "rows of different lengths": lambda body: body["probes"][0]["top"][0].pop(),
    "a probe that is a list": lambda body: body["probes"].__setitem__(0, []),
    "no looks": lambda body: body["probes"][0]["top"].clear(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_traces(run, damage):
    change(run, damage)
    with pytest.raises(LiuliError, match=r"trace\.json is damaged, or was written by another version of Liuli: train again$"):
        learning(load(run))


def test_a_trace_that_is_no_json(run):
    (run / "trace.json").write_text("{")
    with pytest.raises(LiuliError, match=r"trace\.json"):
        learning(load(run))


def test_a_run_that_tracked_nothing(run):
    change(run, lambda body: body["probes"].clear())
    with pytest.raises(LiuliError, match=r"tracked no prompt: train with --probe TEXT$"):
        learning(load(run))


def test_a_model_that_is_in_no_run(tiny):
    with pytest.raises(LiuliError, match="is not in the folder of a run, so there is no record of its training: "):
        learning(tiny)


def test_a_model_without_a_tokenizer(run):
    model = load(run)
    model.tokenizer = None
    with pytest.raises(LiuliError, match="contains no tokenizer"):
        learning(model)
