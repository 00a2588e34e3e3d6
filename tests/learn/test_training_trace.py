"""The playback of a run: as its schema says, and every number in it what the saved models say themselves."""

import json
import math
import shutil
from pathlib import Path

import jsonschema
import pytest
import torch
import transformers
from helpers.trainings import job_in, run

import liuli
from liuli.evaluate.loss import Exam, pieces_of
from liuli.learn.prepare.budget import LOOKS
from liuli.learn.run.events import Finished, Ready, Sampled, Saved, Update, Validated
from liuli.learn.run.folder import read_metrics
from liuli.learn.run.trace import CANDIDATES, Probe, Trace
from liuli.model.formats.detect import hash_model

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/training-trace.schema.json").read_text(encoding="utf-8"))
PROBES = ("小明有", "Ada has 5 ")


def read(out):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads((out / "trace.json").read_text(encoding="utf-8"), parse_constant=refuse)


def check(trace):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(trace, SCHEMA, jsonschema.Draft202012Validator)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 30 steps whose checkpoints are all kept, and its events."""
    folder = tmp_path_factory.mktemp("text")
    events = run(job_in(folder, 30, probes=PROBES, keep=100), folder / "run")
    return folder / "run", events


def test_the_schema_holds_and_is_strict(finished):
    trace = read(finished[0])
    check(trace)
    for where in (trace, trace["body"], trace["body"]["probes"][0], trace["body"]["probes"][0]["input"], trace["model"]):
        where["more"] = 1
        with pytest.raises(jsonschema.ValidationError):
            check(trace)
        del where["more"]
    check(trace)


def test_a_stopped_run_is_as_the_schema_says_too(tmp_path):
    run(job_in(tmp_path, 20), tmp_path / "run", at=[0])
    trace = read(tmp_path / "run")
    check(trace)
    assert trace["body"]["steps"] == [0]
    assert trace["body"]["loss"] == trace["body"]["gradient_norm"] == trace["body"]["tokens_per_second"] == [None]
    assert len(trace["body"]["probes"]) == 3  # how held-out documents begin


def test_one_entry_a_look(finished):
    body = read(finished[0])["body"]
    looks = len(body["steps"])
    assert body["steps"] == list(range(31))
    for name in ("tokens_seen", "loss", "strength", "gradient_norm", "tokens_per_second"):
        assert len(body[name]) == looks
    for probe in body["probes"]:
        assert len(probe["top"]) == len(probe["entropy"]) == len(probe["logprob"]) == looks
    assert [probe["input"]["text"] for probe in body["probes"]] == list(PROBES)
    validations = [step for step in range(31) if step % 2 == 0]
    for name in ("validation", "samples", "checkpoints"):
        assert [row["step"] for row in body[name]] == validations
    losses = {row["step"]: row["loss"] for row in read_metrics(finished[0]) if "loss" in row}
    assert body["loss"] == [None, *(losses[step] for step in range(1, 31))]


def test_probes_say_what_the_saved_models_say(finished):
    """Each checkpoint, opened by `transformers`."""
    out, body = finished[0], read(finished[0])["body"]
    tokenizer = liuli.open_tokenizer(out / "tokenizer")
    for checkpoint in body["checkpoints"]:
        folder = out / "checkpoints" / str(checkpoint["step"]) / "model"
        assert checkpoint["hash"] == hash_model(folder) == json.loads((folder / "liuli.json").read_text())["hash"]
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        look = body["steps"].index(checkpoint["step"])
        for probe in body["probes"]:
            ids = probe["input"]["ids"]
            assert ids == tokenizer.encode(probe["input"]["text"], prompt=True)
            assert probe["position"] == len(ids) - 1
            assert [token["id"] for token in probe["input"]["tokens"]] == ids
            with torch.no_grad():
                logprobs_V = model(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)
            top = probe["top"][look]
            assert len(top) == CANDIDATES
            logprobs = [each["logprob"] for each in top]
            assert logprobs == sorted(logprobs, reverse=True)
            for each in top:
                assert each["logprob"] == pytest.approx(float(logprobs_V[each["token"]["id"]]), abs=2e-5)
                assert each["token"] == tokenizer.token(each["token"]["id"]).to_json()
            assert logprobs[0] == pytest.approx(float(logprobs_V[: tokenizer.vocab_size].max()), abs=2e-5)
            entropy = float(-(logprobs_V.exp() * logprobs_V).sum())
            assert probe["entropy"][look] == pytest.approx(entropy, abs=1e-4)


def test_validation_and_samples_are_those_of_the_saved_models(finished):
    out, body = finished[0], read(finished[0])["body"]
    from liuli.data.split import split_texts
    from liuli.data.text.sources import Sources
    from liuli.model.formats.detect import read_decoder

    facts = json.loads((out / "state/state.json").read_text())
    split = split_texts(Sources([facts["data"][0]["name"]]))
    tokenizer = liuli.open_tokenizer(out / "tokenizer")
    exam = Exam(pieces_of(split.validation(), tokenizer, 32), tokenizer, 32, facts["validated_tokens"])
    last = read_decoder(out / "model")
    assert body["validation"][-1] == {"step": 30} | exam(last).to_json()
    model = liuli.load(out / "model")
    sample = body["samples"][-1]
    assert sample["text"] == model.complete(sample["prompt"], max_tokens=31, temperature=0.8, seed=sample["seed"]).text


def test_events_tell_the_same(finished):
    out, events = finished
    body = read(out)["body"]
    assert isinstance(events[-1], Finished)
    assert [event.step for event in events if isinstance(event, Update)] == list(range(1, 31))
    assert [event.step for event in events if isinstance(event, Saved)] == [row["step"] for row in body["checkpoints"]]
    assert [event.text for event in events if isinstance(event, Sampled)] == [row["text"] for row in body["samples"]]
    found = [event.found.nats for event in events if isinstance(event, Validated)]
    assert found == [row["nats"] for row in body["validation"]]
    best = min(range(len(found)), key=found.__getitem__)
    assert events[-1].best_step == body["validation"][best]["step"]
    (ready,) = [event for event in events if isinstance(event, Ready)]
    assert (ready.step, ready.steps, ready.parameters) == (0, 30, read(out)["model"]["parameters"])


def trace_of(finished, steps, tracked=()):
    tokenizer = liuli.open_tokenizer(finished[0] / "tokenizer")
    about = {"model": {"size": None, "parameters": 1}, "tokenizer": {"kind": "x", "vocab_size": tokenizer.vocab_size}}
    return Trace(tokenizer, [Probe("小明", tokenizer.tokens("小明", prompt=True), tracked)], about, 0, steps, LOOKS)


@pytest.mark.parametrize("steps", [10, 99, 1000, 12345])
def test_when_it_looks(finished, steps):
    trace = trace_of(finished, steps)
    looks = [step for step in range(steps + 1) if trace.due(step)]
    assert looks[:4] == [0, 1, 2, 3][: 3 + (steps < 101)] + [4] * (steps > 100)
    assert looks[-1] == steps
    assert {2**power for power in range(20) if 2**power <= steps} <= set(looks)
    assert len(looks) <= LOOKS + math.log2(steps) + 2


def test_tracked_tokens_and_what_is_not_finite(finished):
    trace = trace_of(finished, 10, tracked=(100, 5))

    class Sure:
        """Says token 5, and that 100 never comes."""

        device = torch.device("cpu")

        def hidden(self, ids_BT):
            return torch.zeros(*ids_BT.shape, 1)

        def logits(self, x_TD):
            logits_V = torch.full((330,), -math.inf)
            logits_V[5] = self.best
            return logits_V[None]

    sure = Sure()
    for best, step in ((0.0, 0), (math.nan, 1)):
        sure.best = best
        trace.look(sure, step, step, 0.5, math.inf if step else None)
    (probe,) = trace.body["body"]["probes"]
    assert probe["logprob"] == [[None, 0.0], [None, None]]
    assert [each["logprob"] for each in probe["top"][0]] == [0.0] + [None] * (CANDIDATES - 1)
    assert probe["entropy"] == [0.0, None]
    assert trace.body["body"]["gradient_norm"] == [None, None]
    check(json.loads(json.dumps(trace.body, allow_nan=False)))


def test_a_run_that_goes_on_has_the_mean_since_the_last_look(finished, tmp_path):
    """Where looks are further apart than steps, the loss that was heard before the stop counts."""
    trace = trace_of(finished, 1000)
    shutil.copy(finished[0] / "trace.json", tmp_path)
    old = read(tmp_path)
    old["body"] |= {name: old["body"][name][:3] for name in ("steps", "tokens_seen", "loss", "strength")}
    old["body"] |= {name: old["body"][name][:3] for name in ("gradient_norm", "tokens_per_second")}
    old["body"]["probes"] = old["body"]["probes"][:1]
    (tmp_path / "trace.json").write_text(json.dumps(old))
    rows = [{"step": step, "loss": float(step), "seconds": 0.5} for step in range(1, 9)]
    trace.resume(tmp_path / "trace.json", 4, rows)
    trace.heard(5.0, 0.5)

    class Even:
        device = torch.device("cpu")
        hidden = lambda self, ids_BT: torch.zeros(*ids_BT.shape, 1)
        logits = lambda self, x_TD: torch.zeros(1, 330)

    trace.look(Even(), 5, old["body"]["tokens_seen"][2] + 300, 1.0, 1.0)
    assert trace.body["body"]["steps"] == [0, 1, 2, 5]
    assert trace.body["body"]["loss"][-1] == 4.0  # of steps 3, 4 and 5
    assert trace.body["body"]["tokens_per_second"][-1] == 200.0
    assert trace.body["body"]["probes"][0]["entropy"][-1] == pytest.approx(math.log(330))
