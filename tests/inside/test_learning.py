"""Playback of a run: the numbers of its trace, the truth of its world, and traces that are damaged."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from liuli import LiuliError, load
from liuli.inside import learning as learning_module
from liuli.inside.learning import learning
from liuli.inside.lens import lens
from liuli.world import World
from liuli.world.folder import open_folder
from liuli.world.world import END

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


def test_the_last_step_is_the_model_as_it_is_now(begun_run, run):
    """The recorded predictions and the checkpoint are of the same average of weights."""
    view = learning(begun_run)
    now, recorded = lens(begun_run, PROMPT, positions=(-1,)), view.prompts[0]
    assert now.top_logprobs[0, -1] == pytest.approx(recorded.top_logprobs[-1, :5], abs=1e-4)
    (check,) = (check for check in view.checks if check.name == "last_look_equals_the_model")
    assert check.ok and check.limit == 5e-5

    change(run, lambda body: body["checkpoints"][-1].update(hash="of other weights"))
    assert "last_look_equals_the_model" not in {check.name for check in learning(load(run)).checks}


def test_the_limit_of_a_run_in_16_bits(run, monkeypatch):
    """Small models record their predictions in fp32, whatever they train in; large ones in the dtype of the training."""
    edit_card(run, lambda card: card["fixed"].update(dtype="bf16"))
    for large, limit in ((False, 5e-5), (True, 0.05)):
        monkeypatch.setattr(learning_module, "is_large", lambda config, large=large: large)
        (check,) = (check for check in learning(load(run)).checks if check.name == "last_look_equals_the_model")
        assert check.ok and check.limit == pytest.approx(limit)


def edit_card(run, edit):
    path = run / "model" / "liuli.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    edit(card)
    path.write_text(json.dumps(card), encoding="utf-8")


def test_the_truth_is_that_of_the_world(begun_run, run):
    view = learning(begun_run)
    truth = {piece.text: piece.probability for piece in view.prompts[0].truth}
    assert truth == World().next_pieces(PROMPT) and list(truth.values()) == sorted(truth.values(), reverse=True)
    assert view.world.of_the_run and Path(view.world.name) == begun_run.folder.resolve().parents[3] / "world"
    alone = learning(load(run))
    assert alone.world is None and alone.prompts[0].truth == ()  # no world next to the run
    assert learning(load(run), World()).prompts[0].truth == view.prompts[0].truth


def test_the_true_tokens_are_those_that_the_tokenizer_writes(begun_run):
    """By hand: each piece, and each that can follow it, encoded with the prompt."""
    (prompt,) = learning(begun_run).prompts
    tokenizer, world = begun_run.tokenizer, World()
    ids = tokenizer.encode(PROMPT)
    expected: dict[int, float] = {}
    for piece, share in world.next_pieces(PROMPT).items():
        for following, part in world.next_pieces(PROMPT + piece).items():
            longer = tokenizer.encode(PROMPT + piece + following.removesuffix(END))
            assert longer[: len(ids)] == ids
            expected[longer[len(ids)]] = expected.get(longer[len(ids)], 0) + share * part
    assert {each.token.id: each.probability for each in prompt.true_tokens} == pytest.approx(expected)
    assert sum(each.probability for each in prompt.true_tokens) == pytest.approx(1)


def test_a_token_that_only_begins_like_a_piece_is_not_true(run, begun_folder):
    """Before, every token was true with whose text a piece begins, and the truth summed to more than 1."""
    tokenizer = load(run).tokenizer
    texts = (PROMPT, "小明家在", "Doudou calls", "小明一饿就想吃", "Ming went to the fair today and rode the")

    def ask(body):
        (probe,) = body["probes"]
        body["probes"] = [probe | {"input": {"text": text, "ids": tokenizer.encode(text, prompt=True)}} for text in texts]
        body["checkpoints"].clear()  # the recorded predictions are not those after these prompts

    change(run, ask)
    vocabulary = [tokenizer.token(token_id) for token_id in range(tokenizer.vocab_size)]
    nested = 0
    view = learning(load(run), open_folder(begun_folder / "world"))
    for prompt in view.prompts:
        true = {each.token.id for each in prompt.true_tokens}
        like = {
            token.id for token in vocabulary if token.bytes and any(piece.text.startswith(token.text) for piece in prompt.truth)
        }
        nested += len(like - true)
        assert sum(each.probability for each in prompt.true_tokens) == pytest.approx(1)
    assert nested and view.ok


def test_the_world_of_another_run(begun_folder, run, tmp_path):
    """A world whose text the run was not trained on is shown only if it is asked for, and then named."""
    folder = tmp_path / "world"
    shutil.copytree(begun_folder / "world", folder)
    assert learning(load(run)).world.of_the_run  # a copy has the same text

    edit_card(run, lambda card: card["data"].append(card["data"][0] | {"sha256": "0" * 64}))
    assert learning(load(run)).world is None and learning(load(run)).prompts[0].truth == ()
    asked = learning(load(run), open_folder(folder))
    assert (asked.world.name, asked.world.of_the_run) == (str(folder), False) and asked.prompts[0].truth

    edit_card(run, lambda card: card["data"].pop())
    documents = folder / "documents.jsonl"
    documents.write_text(documents.read_text(encoding="utf-8") + '{"text": "x"}\n', encoding="utf-8")
    assert learning(load(run)).world is None


def test_a_text_that_another_version_wrote(begun_folder, run, tmp_path):
    """Its probabilities are not those of the world as it is now."""
    folder = shutil.copytree(begun_folder / "world", tmp_path / "world")
    lines = (folder / "documents.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "documents.jsonl").write_text("".join(['{"text": "x"}\n', *lines[1:]]), encoding="utf-8")
    own = hashlib.sha256((folder / "documents.jsonl").read_bytes()).hexdigest()
    edit_card(run, lambda card: card.update(data=[{"sha256": own}]))
    assert learning(load(run)).world is None


@pytest.mark.parametrize("data", [None, 5, {}, [5], [{"sha256": None}]])
def test_a_card_that_names_no_data(begun_folder, run, tmp_path, data):
    shutil.copytree(begun_folder / "world", tmp_path / "world")
    edit_card(run, lambda card: card.update(data=data, fixed=data))
    assert learning(load(run)).world is None


def test_a_prompt_that_was_read_in_another_form(begun_run, begun_folder, run):
    """As an assistant reads it, in its chat template: what follows is not what follows in a document."""
    change(run, lambda body: body["probes"][0]["input"].update(ids=[*body["probes"][0]["input"]["ids"], 65]))
    (prompt,) = learning(load(run), open_folder(begun_folder / "world")).prompts
    assert prompt.truth == prompt.true_tokens == ()


def test_tracked_tokens(begun_run, run):
    """A token whose probability is always recorded, also if it is not among the likeliest."""
    token = begun_run.tokenizer.token(7)

    def track(body):
        probe = body["probes"][0]
        probe["tracked"] = [token.to_json()]
        probe["logprob"] = [[None], *([-float(step)] for step in range(1, len(body["steps"])))]

    change(run, track)
    (prompt,) = learning(load(run)).prompts
    assert prompt.tracked == (token,) and prompt.tracked_logprobs.shape == (len(body_of(run)["steps"]), 1)
    assert np.isnan(prompt.tracked_logprobs[0, 0]) and prompt.tracked_logprobs[2, 0] == -2
    (prompt,) = learning(begun_run).prompts
    assert prompt.tracked == () and prompt.tracked_logprobs.shape == (len(prompt.entropy), 0)


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
