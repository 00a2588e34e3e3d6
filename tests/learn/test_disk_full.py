"""A full disk stops a training; its last checkpoint stays whole, and with room it goes on exactly."""

import re
import shutil

import pytest
from helpers.trainings import assert_same, job_in, kept

from liuli.learn.run.folder import checkpoints
from liuli.learn.run.state import read_state
from liuli.model.formats.detect import read_decoder

STEPS = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory, killer):
    """The text, a whole run, and one that was stopped after step 6."""
    folder = tmp_path_factory.mktemp("text")
    job = job_in(folder, STEPS)
    assert not killer.run(job, folder / "whole").error
    assert not killer.run(job, folder / "stopped", stop=6).error
    return folder


def assert_stopped_well(end, out, why="no space left on device"):
    """It said where and why, in one line; what it names is there, whole, and the newest."""
    assert not end.killed
    found = re.fullmatch(
        r"LiuliError\([\"'](.+) cannot be written: (.+); training stopped\. The last good checkpoint is (.+); free some "
        r"disk space, then resume with --resume[\"']\)",
        end.error,
    )
    assert found, end.error
    assert found[1].startswith(str(out))
    assert why in found[2].lower()
    assert found[3] == str(out / "checkpoints" / str(checkpoints(out)[-1]))
    for step in checkpoints(out):
        read_state(out / "checkpoints" / str(step), None)
    read_decoder(out / "model")


def _full_in_save(killer, folder, out, numbers):
    job, calls = job_in(folder, STEPS), 86
    for number in numbers(calls):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(folder / "stopped", out, symlinks=True)
        end = killer.run(job, out, resume=True, in_save=7, call=number, full=True)
        assert_stopped_well(end, out)
        assert not list((out / "checkpoints").glob(".*")) or checkpoints(out)[-1] == 7
        assert not killer.run(job, out, resume=True).error
        assert_same(kept(out), kept(folder / "whole"))


def test_full_within_a_save(killer, folder, tmp_path):
    _full_in_save(killer, folder, tmp_path / "run", lambda calls: range(1, calls - 3, 9))


@pytest.mark.slow
def test_full_at_any_call_of_a_save(killer, folder, tmp_path):
    _full_in_save(killer, folder, tmp_path / "run", lambda calls: range(1, calls - 3))


@pytest.mark.parametrize("largest", [30_000, 45_000, 60_000])
def test_files_that_the_system_lets_grow_no_further(killer, folder, tmp_path, largest):
    """A real limit, in the middle of a write: what was written of it stays behind."""
    job, out = job_in(folder, STEPS), tmp_path / "run"
    shutil.copytree(folder / "stopped", out, symlinks=True)
    assert_stopped_well(killer.run(job, out, resume=True, largest=largest), out, "file too large")
    assert not killer.run(job, out, resume=True).error
    assert_same(kept(out), kept(folder / "whole"))


def test_full_before_there_is_a_checkpoint(killer, folder, tmp_path):
    job, out = job_in(folder, STEPS), tmp_path / "run"
    for number in (1, 4, 7, 12, 20, 40, 70):
        shutil.rmtree(out, ignore_errors=True)
        end = killer.run(job, out, call=number, full=True)
        assert end.error
        assert "o space left on device" in end.error
        assert not checkpoints(out)
        assert not killer.run(job, out).error
        assert_same(kept(out), kept(folder / "whole"))
