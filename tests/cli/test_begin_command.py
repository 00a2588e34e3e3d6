"""`liuli begin`: the world, the model and the report; and what a second start does."""

import json
from itertools import product

import pytest

from liuli.learn.prepare import budget
from liuli.learn.prepare.budget import Pace
from liuli.learn.run.folder import checkpoints
from liuli.recipes import begin


@pytest.fixture(scope="module")
def small():
    """Little of everything, and as many steps on a busy machine as on an idle one."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("DOCUMENTS", 2_000), ("CONVERSATIONS", 400), ("POINTS", 3), ("SAMPLES", 6)):
            patch.setattr(begin, name, value)
        patch.setattr(budget, "pace_within", lambda costs, seconds, tokens, validated: Pace(40, 20, 100, validated))
        yield


def test_begin(liuli, small, tmp_path):
    out = tmp_path / "first"
    result = liuli("begin", "--out", out, "--minutes", 0.25)
    assert (result.code, result.err) == (0, "")
    shown = ("Probability of each", "Predictions during training", "the entropy", "Difference from the true", "liuli world ask")
    for words in (*shown, "The same questions to the base", "(c) in no training data", "liuli chat"):
        assert words in result.out
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    for prompt in report["prompts"]:
        assert sum(piece["truth"] for piece in prompt["pieces"]) == pytest.approx(1)
        assert sum(piece["learned"] for piece in prompt["pieces"]) == pytest.approx(1)
        assert prompt["prompt"] in result.out
    assert {prompt["lang"] for prompt in report["prompts"]} == {"zh", "en"}
    assert report["validation"]["nats_per_token"] > report["floor"]["nats"]
    assert report["playback"][0]["steps"][0] == 0
    assert {(each["group"], each["lang"]) for each in report["assistant"]["answers"]} == set(product("abc", ("zh", "en")))
    for each in report["assistant"]["answers"]:
        assert each["right"] + each["refused"] + each["wrong"] == pytest.approx(1)
    assert len(report["assistant"]["questions"]) == 3
    assert all(each["question"] in result.out for each in report["assistant"]["questions"])

    made = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != "metrics.jsonl"}
    again = liuli("begin", "--out", out)
    assert again.code == 0
    assert again.out.split("comparing")[1].splitlines()[1:-14] == result.out.split("comparing")[1].splitlines()[1:-14]
    changed = [path for path, before in made.items() if path.stat().st_mtime_ns != before]
    assert not [path for path in changed if "checkpoints" in path.parts or "world" in path.parts or path.name == "report.json"]


def test_a_begin_that_was_stopped_goes_on(liuli, small, tmp_path, monkeypatch):
    out = tmp_path / "first"
    asked = iter([False] * 5 + [True])
    monkeypatch.setattr("liuli.cli.training.Interrupt.asked", lambda self: next(asked))
    stopped = liuli("begin", "--out", out, "--minutes", 0.25)
    assert stopped.code == 130
    assert f"Resume with:\n  liuli begin --out {out}" in stopped.out
    assert checkpoints(out / "run")[-1] == 5
    monkeypatch.setattr("liuli.cli.training.Interrupt.asked", lambda self: False)
    assert "from step 5: " in liuli("begin", "--out", out).out


def test_a_folder_that_holds_something_else(liuli, small, tmp_path):
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "novel.txt").write_text("once", encoding="utf-8")
    result = liuli("begin", "--out", tmp_path)
    assert result.code == 2
    assert "contains other files (novel.txt): give a new or empty folder" in result.err


def test_another_run_stands_in_the_folder(liuli, tmp_path):
    """Its folders are not mixed with begin's."""
    (tmp_path / "checkpoints").mkdir()
    result = liuli("begin", "--out", tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"liuli: {tmp_path} contains other files (checkpoints): give a new or empty folder\n"
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoints"]


@pytest.mark.parametrize("option", [("--minutes", -1), ("--minutes", 0), ("--seed", -1)])
def test_wrong_numbers_make_nothing(liuli, tmp_path, option):
    result = liuli("begin", "--out", tmp_path / "new", *option)
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1 and str(option[1]) in result.err
    assert not (tmp_path / "new").exists()
