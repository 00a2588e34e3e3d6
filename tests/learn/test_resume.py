"""A run that was stopped or killed, whenever that was, ends with the same losses, playback, weights and state, to the bit."""

import json
import os
import random
import shutil

import pytest
from helpers.trainings import LENGTH, ROWS, assert_same, job_in, kept, run, write_corpus

from liuli.learn.prepare.job import Job
from liuli.learn.run.events import Finished, Note, Ready, Saved, Stopped, Update
from liuli.learn.run.folder import checkpoints
from liuli.learn.run.state import read_state
from liuli.model.formats.detect import hash_model, read_decoder

STEPS = 10  # of a run that is killed; it saves after each


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("text")


@pytest.fixture(scope="module")
def whole(folder):
    """60 steps, never stopped: a validation and a checkpoint every third."""
    run(job_in(folder), folder / "whole")
    return kept(folder / "whole")


@pytest.fixture(scope="module")
def short(folder, killer):
    """10 steps, never stopped, in a process as those that are killed."""
    end = killer.run(job_in(folder, STEPS), folder / "short")
    assert not end.error
    return kept(folder / "short"), end


def assert_readable(out):
    """Every checkpoint with a number is whole, and so is what the links lead to, from the first checkpoint on."""
    for step in checkpoints(out):
        assert read_state(out / "checkpoints" / str(step), None).facts["step"] == step
        read_decoder(out / "checkpoints" / str(step) / "model")
    for name in ("latest/model", "model", "best/model"):
        if os.path.lexists(out / name.split("/")[0]):
            read_decoder(out / name)


def finish(killer, job, out):
    """Goes on to the end, by what is there: a run that was killed before it was asked for anything begins anew."""
    assert_readable(out)
    end = killer.run(job, out, resume=(out / "run.json").exists())
    assert not end.error
    assert_readable(out)


def test_the_metrics_of_a_run(folder, whole):
    rows = whole["metrics"]
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 61))
    assert [row["step"] for row in rows if "validation" in row] == list(range(0, 61, 3))
    assert rows[-2]["loss"] < 0.5 * rows[1]["loss"]
    assert whole["trace"]["body"]["steps"] == list(range(61))
    assert list(whole["hashes"]) == list(range(0, 61, 3))
    assert whole["hashes"][60] == hash_model(folder / "whole" / "model") == whole["card"]["hash"]


def test_the_same_again_in_one_process_and_in_another(folder, tmp_path, whole, short):
    job = job_in(folder)
    run(job, tmp_path / "again")
    assert_same(kept(tmp_path / "again"), whole)
    run(job_in(folder, STEPS), tmp_path / "short")
    assert_same(kept(tmp_path / "short"), short[0])


@pytest.mark.parametrize("at", [[0], [1], [2], [3], [4], [29], [59], [60], [5, 6, 7, 40, 41]], ids=str)
def test_stopped_and_resumed(folder, tmp_path, whole, at):
    """Between two saves, at one, at the first step and the last, several times."""
    job, out = job_in(folder), tmp_path / "run"
    events = run(job, out, at=at)
    for i in range(len(at)):
        if at[i] < 60:
            assert events[-1] == Stopped(at[i], 60)
            assert isinstance(events[-2], Saved)
            assert_readable(out)
        events = run(job, out, resume=True, at=at[i + 1 :])
        assert [event.step for event in events if isinstance(event, Ready)] == [min(at[i], 60)]
    assert isinstance(events[-1], Finished)
    assert events[-1].best_step == whole["facts"]["best"]["step"]
    assert_same(kept(out), whole)


def test_bf16(folder, tmp_path, whole):
    job = job_in(folder, dtype="bf16")
    run(job, tmp_path / "whole")
    wanted = kept(tmp_path / "whole")
    assert wanted["hashes"] != whole["hashes"]
    run(job, tmp_path / "stopped", at=[7, 31])
    run(job, tmp_path / "stopped", resume=True, at=[31])
    run(job, tmp_path / "stopped", resume=True)
    assert_same(kept(tmp_path / "stopped"), wanted)


def test_gathered_over_several_passes_and_with_decay(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("liuli.learn.step.recipe.TOKENS_AT_ONCE", LENGTH)
    job = job_in(folder, 20, decay=0.1, rows=3, seed=7, keep=3)
    run(job, tmp_path / "whole")
    run(job, tmp_path / "stopped", at=[7])
    run(job, tmp_path / "stopped", resume=True)
    assert_same(kept(tmp_path / "stopped"), kept(tmp_path / "whole"))
    assert len(checkpoints(tmp_path / "whole")) == 4


def test_over_the_end_of_the_text(tmp_path):
    """A text of a few rows: the run goes through it many times, and stops in the middle of one."""
    write_corpus(tmp_path, [f"{i} cats and {i * i} 只狗。" for i in range(30)])
    job = job_in(tmp_path, 30, valid="tail:0.2")
    run(job, tmp_path / "whole")
    run(job, tmp_path / "stopped", at=[11])
    run(job, tmp_path / "stopped", resume=True)
    assert_same(kept(tmp_path / "stopped"), kept(tmp_path / "whole"))


def test_moved_in_between(folder, tmp_path, whole):
    """The run, and then its text too, whose place is said again; the links still lead into the run."""
    data = tmp_path / "data"
    shutil.copytree(folder, data, ignore=shutil.ignore_patterns("whole", "short"))
    run(job_in(data), tmp_path / "run", at=[10])
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(tmp_path / "run", tmp_path / "elsewhere" / "moved")
    run(job_in(data), moved, resume=True, at=[20])
    shutil.move(data, tmp_path / "text")
    again = job_in(tmp_path / "text", config=None, tokens=None)
    run(again, moved, resume=True, at=[30])
    shutil.copytree(moved, tmp_path / "copied", symlinks=True)
    shutil.rmtree(moved)
    run(Job(), tmp_path / "copied", resume=True)  # where the text is was kept
    found = kept(tmp_path / "copied")
    assert [row["name"] for row in found["facts"].pop("data")] == [str(data / "texts.jsonl")]
    assert found["card"].pop("data")
    wanted = {**whole, "facts": dict(whole["facts"]), "card": dict(whole["card"])}
    assert wanted["facts"].pop("data")[0]["sha256"] == wanted["card"].pop("data")[0]["sha256"]
    assert_same(found, wanted)


def test_moved_with_the_text_that_is_held_out(tmp_path):
    """`--valid FILE`, too, may be said again."""
    for name in ("data", "held"):
        write_corpus(tmp_path / name, [f"{name} {i} 只猫。" for i in range(200)])
    job = job_in(tmp_path / "data", 20, valid=str(tmp_path / "held"))
    run(job, tmp_path / "whole")
    run(job, tmp_path / "run", at=[10])
    shutil.move(tmp_path / "held", tmp_path / "other")
    run(job_in(tmp_path / "data", 20, valid=str(tmp_path / "other")), tmp_path / "run", resume=True)
    assert_same(kept(tmp_path / "run"), kept(tmp_path / "whole"))


def _killed_in_save(killer, folder, tmp_path, short, step, numbers):
    """Killed before each of these calls of the save after `step`, of a run that was stopped before it."""
    job, wanted = job_in(folder, STEPS), short[0]
    base, out = tmp_path / "base", tmp_path / "run"
    assert not killer.run(job, base, stop=step - 1).error
    shutil.copytree(base, out, symlinks=True)
    calls = killer.run(job, out, resume=True, in_save=step).calls
    assert_same(kept(out), wanted)
    assert calls > 70
    for number in numbers(calls):
        shutil.rmtree(out)
        shutil.copytree(base, out, symlinks=True)
        end = killer.run(job, out, resume=True, in_save=step, call=number)
        assert end.killed
        assert {step - 1, step} & set(checkpoints(out))
        finish(killer, job, out)
        assert_same(kept(out), wanted)


@pytest.mark.parametrize("step", [7, STEPS])
def test_killed_within_a_save(killer, folder, tmp_path, short, step):
    _killed_in_save(killer, folder, tmp_path, short, step, lambda calls: range(step % 3 + 1, calls + 1, 14))


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 7, STEPS])
def test_killed_between_any_two_calls_of_a_save(killer, folder, tmp_path, short, step):
    _killed_in_save(killer, folder, tmp_path, short, step, lambda calls: range(1, calls + 1))


def _killed_before_a_checkpoint(killer, folder, tmp_path, short, every):
    job, out, number = job_in(folder, STEPS), tmp_path / "run", 1
    while True:
        shutil.rmtree(out, ignore_errors=True)
        assert killer.run(job, out, call=number).killed
        if checkpoints(out):
            return
        finish(killer, job, out)
        assert_same(kept(out), short[0])
        number += every


def test_killed_before_there_was_a_checkpoint(killer, folder, tmp_path, short):
    _killed_before_a_checkpoint(killer, folder, tmp_path, short, 17)


@pytest.mark.slow
def test_killed_between_any_two_calls_before_there_was_a_checkpoint(killer, folder, tmp_path, short):
    _killed_before_a_checkpoint(killer, folder, tmp_path, short, 1)


def _killed_at_random(killer, folder, tmp_path, short, moments, change):
    """Half of them between two calls of the file system, half in the middle of a step or between two."""
    wanted, end = short
    random_number = random.Random(2026)
    for i in range(moments):
        job, out = job_in(folder, STEPS, **change), tmp_path / str(i)
        what = {"call": random_number.randint(1, end.calls)} if i % 2 else {"event": random_number.randint(1, end.events)}
        assert killer.run(job, out, **what).killed, what
        finish(killer, job, out)
        assert_same(kept(out), wanted)


def test_killed_at_random_moments(killer, folder, tmp_path, short):
    _killed_at_random(killer, folder, tmp_path, short, 4, {})


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_killed_at_20_random_moments(killer, folder, tmp_path, dtype):
    end = killer.run(job_in(folder, STEPS, dtype=dtype), tmp_path / "whole")
    _killed_at_random(killer, folder, tmp_path, (kept(tmp_path / "whole"), end), 20, {"dtype": dtype})


def test_one_run_killed_again_and_again(killer, folder, tmp_path, short):
    """Each time a few calls or events on, moved each time, until it comes to its end."""
    job, out = job_in(folder, STEPS), tmp_path / "0"
    for i in range(1, 100):
        what = {"call": 150} if i % 2 else {"event": 13}
        end = killer.run(job, out, resume=i > 1, **what)
        assert not end.error
        assert_readable(out)
        if not end.killed:
            break
        out = shutil.move(out, tmp_path / str(i))
    assert i > 5
    assert_same(kept(out), short[0])


def test_a_line_of_metrics_that_was_cut_short(folder, tmp_path, whole):
    """As a death in the middle of writing it leaves it."""
    job, out = job_in(folder), tmp_path / "run"
    run(job, out, at=[10])
    with (out / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 11, "loss": 1.5, "gradient_norm": 1.0}) + '\n{"step": 12, "lo')
    run(job, out, resume=True)
    assert_same(kept(out), whole)


def test_what_tensorboard_reads_has_each_step_once(folder, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    job, out = job_in(folder, 20), tmp_path / "run"
    events = run(job, out, at=[7])
    shutil.copytree(out, tmp_path / "stopped", symlinks=True)
    run(job, out, resume=True, at=[12])
    for name in ("metrics.jsonl", "trace.json", "checkpoints", "run.json"):  # as a death after step 7 and some steps more
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        copy = tmp_path / "stopped" / name
        shutil.copytree(copy, path) if copy.is_dir() else shutil.copyfile(copy, path)
    events += run(job, out, resume=True)
    board = EventAccumulator(str(out / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("training/loss")] == list(range(1, 21))
    assert [event.step for event in board.Scalars("validation/bits_per_byte")] == list(range(21))
    losses = [event.loss for event in events if isinstance(event, Update)]
    assert [event.value for event in board.Scalars("training/loss")] == pytest.approx(losses)


def test_a_run_without_a_checkpoint_says_that_it_begins_anew(folder, tmp_path):
    run(job_in(folder, 10), tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    events = run(Job(), tmp_path / "run", resume=True)
    assert events[0] == Note("the run has no checkpoint yet: it starts from the beginning")
    run(job_in(folder, 10), tmp_path / "whole")
    assert_same(kept(tmp_path / "run"), kept(tmp_path / "whole"))


def test_from_a_parent_that_is_gone_later(folder, tmp_path, whole):
    """Its weights and tokenizer were taken over at the beginning."""
    parent = shutil.copytree((folder / "whole" / "model").resolve(), tmp_path / "parent")
    job = job_in(folder, 20, config=None, tokenizer=None, parent=str(parent), seed=1)
    run(job, tmp_path / "whole")
    run(job, tmp_path / "stopped", at=[7])
    assert kept(tmp_path / "whole")["card"]["parent"] == whole["hashes"][60]
    assert kept(tmp_path / "whole")["metrics"][1]["loss"] < 3  # it knows what its parent knew
    shutil.rmtree(parent)
    run(Job(), tmp_path / "stopped", resume=True)
    assert_same(kept(tmp_path / "stopped"), kept(tmp_path / "whole"))


def test_the_budget_in_tokens_is_steps(folder, whole):
    assert whole["metrics"][-2]["step"] == 60
    assert whole["facts"]["steps"] == job_in(folder).budget.tokens / (LENGTH * ROWS)


def test_a_renamed_text_is_the_same_text(tmp_path):
    """What is compared is its content; its name is nobody's business."""
    asked = job_in(tmp_path)
    run(asked, tmp_path / "whole")
    run(asked, tmp_path / "stopped", at=[10])
    renamed = (tmp_path / "texts.jsonl").rename(tmp_path / "novels.jsonl")
    run(Job.of(sources=(str(renamed),)), tmp_path / "stopped", resume=True)
    found, wanted = kept(tmp_path / "stopped"), kept(tmp_path / "whole")
    assert found["metrics"] == wanted["metrics"]
    assert found["hashes"].items() >= wanted["hashes"].items()
