"""A run that gets worse than it began goes back and on with a lower learning rate, and never hides it."""

import json

import pytest
from helpers.trainings import assert_same, job_in, kept, run, write_corpus

from liuli.errors import LiuliError
from liuli.learn.run.events import Note, Validated
from liuli.learn.run.folder import checkpoints, read_metrics
from liuli.learn.run.guard import LOWERED, LOWERINGS, limit
from liuli.learn.run_stage import pretrain


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    write_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def parent(folder):
    run(job_in(folder, 60), folder / "parent")
    return folder / "parent" / "model"


def continued(folder, parent, rate):
    return job_in(folder, 20).but(parent=str(parent), config=None, tokenizer=None, rate=rate)


def losses(out):
    return {row["step"]: row["validation"]["nats_per_token"] for row in read_metrics(out) if "validation" in row}


def test_a_rate_that_is_too_high_is_lowered(folder, parent, tmp_path):
    events = run(continued(folder, parent, 2.0), tmp_path)
    notes = [event.text for event in events if isinstance(event, Note) and "Going back" in event.text]
    card = json.loads((tmp_path / "model" / "liuli.json").read_text(encoding="utf-8"))
    lowered = card["lowered"]
    assert len(notes) == len(lowered) >= 1
    assert card["steps"] + sum(change["step"] - change["from"] for change in lowered) <= 20
    assert f"with learning rate {lowered[-1]['rate']:g}" in notes[-1]
    assert card["recipe"]["rate"] == lowered[-1]["rate"] <= 2.0 * LOWERED
    found = losses(tmp_path)
    assert min(found.values()) <= found[0]
    assert found[max(found)] <= limit(found[0], 1.0)
    assert checkpoints(tmp_path)[-1] == card["steps"] == max(found) <= 20


def test_the_same_again_and_resumed(folder, parent, tmp_path):
    job = continued(folder, parent, 2.0)
    whole = tmp_path / "whole"
    run(job, whole)
    seen = [event.step for event in run(job, tmp_path / "other") if isinstance(event, Validated)]
    assert losses(tmp_path / "other") == losses(whole)
    steps = kept(whole)["facts"]["steps"]
    stopped = tmp_path / "stopped"
    run(job, stopped, at=[steps - 2])
    assert max(seen) >= steps - 2
    run(job, stopped, resume=True)
    assert losses(stopped) == losses(whole)
    assert_same(kept(stopped), kept(whole))


def test_data_that_only_make_it_worse(folder, parent, tmp_path, monkeypatch):
    """Every validation after the first is worse: the run ends with one line, and what it began with is there."""
    monkeypatch.setattr("liuli.learn.run.journal.limit", lambda first, progress: 0.0)
    events = pretrain(continued(folder, parent, 1e-6), tmp_path)
    notes: list[str] = []
    with pytest.raises(LiuliError) as error:
        notes.extend(event.text for event in events if isinstance(event, Note) and "Going back" in event.text)
    assert f"lowered {LOWERINGS} times" in str(error.value) and "checkpoints" in str(error.value)
    assert len(notes) == LOWERINGS
    assert checkpoints(tmp_path)


def test_what_is_clearly_worse():
    assert limit(1.3, 1.0) == pytest.approx(1.389)
    assert limit(1.3, 0.0) == pytest.approx(2.389)
    assert limit(5.5, 0.1) < 7


def test_a_little_worse_is_said(folder, parent, tmp_path, monkeypatch):
    monkeypatch.setattr("liuli.learn.run.journal.limit", lambda first, progress: 1e9)
    notes = [event.text for event in run(continued(folder, parent, 2.0), tmp_path) if isinstance(event, Note)]
    assert any("the model is now worse on held-out data" in note for note in notes)
