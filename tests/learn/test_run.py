"""A run's folder: whole at every moment, one writer at a time, and movable."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from liuli.errors import LiuliError
from liuli.files import link, sync_tree, write_text
from liuli.learn.run.folder import Run, checkpoints, read_metrics, read_settings

SETTINGS = {"stage": "base", "job": {}, "command": []}

HOLDER = """
import sys
from pathlib import Path
from liuli.learn.run.folder import Run
run = Run(Path(sys.argv[1]))
run.write_settings({"stage": "base", "job": {}, "command": []})
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path / "run")
    yield made
    made.close()


def save(run, step, best=None, keep=1):
    run.save(step, lambda part: (part / "model").mkdir() or (part / "model" / "weights").write_text(str(step)), best, keep)


def listing(run):
    return sorted(path.name for path in (run.folder / "checkpoints").iterdir())


def test_the_lock_dies_with_its_process(tmp_path):
    out = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(LiuliError, match="run is in use: another process trains there; wait for it, or give another"):
            Run(out)
        assert read_settings(out) == SETTINGS
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        Run(out).close()


def test_the_lock_is_let_go_and_taken_again(tmp_path):
    first = Run(tmp_path / "run")
    with pytest.raises(LiuliError, match="in use"):
        Run(tmp_path / "run")
    first.close()
    Run(tmp_path / "run").close()


def test_a_folder_that_is_no_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LiuliError, match="file is a file: give a new or empty folder"):
        Run(tmp_path / "file")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("")
    with pytest.raises(LiuliError, match=r"photos contains other files \(cat.png\): give a new or empty folder"):
        Run(tmp_path / "photos")
    assert os.listdir(tmp_path / "photos") == ["cat.png"]
    (tmp_path / "empty").mkdir()
    Run(tmp_path / "empty").close()
    Run(tmp_path / "new" / "deep").close()


@pytest.mark.parametrize("name", [".run.json.part", "lock"])
def test_what_a_death_at_once_leaves_is_a_run(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("{")
    run = Run(tmp_path / "run")
    assert run.settings is None
    run.write_settings(SETTINGS)
    assert run.settings == SETTINGS
    run.close()


@pytest.mark.parametrize("text", ['{"job":', "[1]", "{}", '{"stage": "base", "job": 3, "command": []}', "\xff"])
def test_broken_settings(tmp_path, text):
    (tmp_path / "run.json").write_text(text, encoding="latin-1")
    with pytest.raises(LiuliError, match=r"run\.json (cannot be read|does not contain the settings)"):
        read_settings(tmp_path)
    assert read_settings(tmp_path / "nowhere") is None
    assert read_settings(tmp_path / "run.json") is None


def test_save_links_and_prunes(run):
    save(run, 0, best=0)
    assert (run.folder / "model" / "weights").read_text() == "0"
    for step, best in ((5, 5), (10, 5), (15, 5)):
        save(run, step, best)
    assert run.checkpoints() == [5, 10, 15]  # the last, one before it, and the best
    assert listing(run) == ["10", "15", "5"]
    for name, text in (("latest/model", "15"), ("model", "15"), ("best/model", "5"), ("state/../model", "15")):
        if "state" not in name:
            assert (run.folder / name / "weights").read_text() == text
    links = {name: os.readlink(run.folder / name) for name in ("latest", "best", "model", "state")}
    assert links == {
        "latest": "checkpoints/15", "best": "checkpoints/5", "model": "latest/model", "state": "latest/state",
    }  # fmt: skip
    save(run, 20, 20)
    assert run.checkpoints() == [15, 20]


@pytest.mark.parametrize(("keep", "left"), [(0, [2, 9]), (1, [2, 8, 9]), (3, [2, 6, 7, 8, 9]), (100, list(range(10)))])
def test_keep(run, keep, left):
    for step in range(10):
        save(run, step, best=min(step, 2), keep=keep)
    assert run.checkpoints() == left


def test_links_hold_after_a_move(run, tmp_path):
    save(run, 3, best=3)
    moved = shutil.move(run.folder, tmp_path / "moved")
    for name in ("latest/model", "best/model", "model"):
        assert (moved / name / "weights").read_text() == "3"
        assert (moved / name).resolve().is_relative_to(moved.resolve())


def test_a_step_that_is_saved_is_not_written_again(run):
    save(run, 3)
    run.save(3, lambda part: pytest.fail("written again"), None, 1)
    assert run.checkpoints() == [3]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_a_save_that_fails_leaves_what_was(run, error):
    save(run, 3, best=3)

    def write(part):
        (part / "half").write_text("")
        raise error

    with pytest.raises(type(error)):
        run.save(4, write, 3, 1)
    assert listing(run) == ["3"]
    assert os.readlink(run.folder / "latest") == "checkpoints/3"
    save(run, 4, best=3)
    assert run.checkpoints() == [3, 4]


def test_what_a_death_left_beside_is_removed(run):
    save(run, 3)
    for name in (".4.part", ".2.part"):
        (run.folder / "checkpoints" / name / "model").mkdir(parents=True)
    assert run.checkpoints() == [3]
    run.settle(3, 1)
    assert listing(run) == ["3"]


def test_a_best_that_was_deleted_leaves_no_dead_link(run):
    save(run, 3, best=3)
    save(run, 4, best=4)
    shutil.rmtree(run.checkpoint(4))
    assert not (run.folder / "model").exists()
    run.settle(2, 1)
    assert os.readlink(run.folder / "latest") == "checkpoints/3"
    assert not os.path.lexists(run.folder / "best")


def test_metrics_are_on_the_disk_before_the_checkpoint(run, monkeypatch):
    order = []
    monkeypatch.setattr(os, "fsync", lambda number: order.append(os.readlink(f"/proc/self/fd/{number}")))
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda a, b: (order.append(f"rename {b}"), rename(a, b))[1])
    run.log({"step": 1, "loss": 2.5})
    save(run, 1)
    place = str(run.checkpoint(1))
    part = place.replace("/1", "/.1.part")
    expected = [
        str(run.folder / "metrics.jsonl"), f"{part}/model/weights", f"{part}/model", part, f"rename {place}",
        str(run.folder / "checkpoints"),
    ]  # fmt: skip
    assert [line for line in order if line in expected] == expected


def test_metrics_cut_back(run):
    for step in range(5):
        run.log({"step": step, "loss": step / 3})
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    assert [row["step"] for row in read_metrics(run.folder)] == [0, 1, 2, 3, 4]
    run.rewind(2)
    run.log({"step": 3, "loss": 0.1})
    assert list(read_metrics(run.folder)) == [
        *({"step": step, "loss": step / 3} for step in range(3)),
        {"step": 3, "loss": 0.1},
    ]
    assert list(read_metrics(run.folder / "nowhere")) == []


@pytest.mark.parametrize("line", ['{"step": 1, "lo', "{}", "3", '{"step": "1"}', "\\xff"])
def test_a_broken_line_in_the_middle_of_the_metrics(run, line):
    (run.folder / "metrics.jsonl").write_text(f'{{"step": 0}}\n{line}\n{{"step": 2}}\n')
    with pytest.raises(LiuliError, match=r"metrics\.jsonl, line 2 is not a row of metrics: delete that line"):
        list(read_metrics(run.folder))


def test_a_line_that_the_disk_takes_in_parts(run, monkeypatch):
    run.log({"step": 1})

    class Narrow:
        def __init__(self, file):
            self._file = file

        def write(self, data):
            return self._file.write(data[:3])

        def close(self):
            self._file.close()

    run._metrics = Narrow(run._metrics)
    run.log({"step": 2, "loss": 1.25})
    assert list(read_metrics(run.folder)) == [{"step": 1}, {"step": 2, "loss": 1.25}]


def test_clear_leaves_nothing_of_an_attempt(run):
    run.write_settings(SETTINGS)
    run.log({"step": 0})
    for name in ("tokenizer", "tensorboard", "checkpoints/.0.part", "rehearsal"):
        (run.folder / name).mkdir(parents=True)
    (run.folder / "trace.json").write_text("{}")
    run.clear()
    assert run.prepared_tokenizer(None) is None
    assert sorted(os.listdir(run.folder)) == ["lock", "run.json"]
    run.log({"step": 0, "again": True})
    assert list(read_metrics(run.folder)) == [{"step": 0, "again": True}]


def test_a_tokenizer_is_kept_for_the_same_origin_alone(run):
    run.write_settings(SETTINGS)
    (run.folder / "tokenizer").mkdir()
    run.keep_tokenizer({"kind": "bpe"})
    run.clear()
    assert run.prepared_tokenizer({"kind": "bpe"}) == run.folder / "tokenizer"
    assert run.prepared_tokenizer({"kind": "char"}) is None
    assert sorted(os.listdir(run.folder)) == ["lock", "run.json"]
    (run.folder / "tokenizer").mkdir()  # of which nothing is known
    assert run.prepared_tokenizer({"kind": "bpe"}) is None
    run.keep_tokenizer({"kind": "bpe"})
    run.started()
    assert sorted(os.listdir(run.folder)) == ["lock", "run.json"]


def test_write_text_replaces_at_once(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_text(path, "one\n小\n")
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append(a.read_bytes()), replace(a, b))[1])
    write_text(path, "two")
    assert seen == [b"two"]
    assert path.read_text() == "two"
    assert os.listdir(tmp_path) == ["a.json"]
    monkeypatch.setattr(os, "replace", lambda a, b: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_text(path, "three")
    assert path.read_text() == "two"


def test_link_replaces_a_link_and_what_a_death_left(tmp_path):
    (tmp_path / ".latest.part").symlink_to("checkpoints/1")
    link(tmp_path / "latest", "checkpoints/2")
    link(tmp_path / "latest", "checkpoints/2")
    assert os.readlink(tmp_path / "latest") == "checkpoints/2"
    link(tmp_path / "latest", "checkpoints/3")
    assert os.readlink(tmp_path / "latest") == "checkpoints/3"
    assert os.listdir(tmp_path) == ["latest"]


def test_sync_tree_takes_the_innermost_first(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("")
    (tmp_path / "d").write_text("")
    order = []
    monkeypatch.setattr(os, "fsync", lambda number: order.append(os.readlink(f"/proc/self/fd/{number}")))
    sync_tree(tmp_path)
    assert [os.path.relpath(path, tmp_path) for path in order] == ["a/b/c", "a/b", "a", "d", "."]


def test_checkpoints_are_whole_numbers_only(tmp_path):
    for name in ("10", "9", ".11.part", "notes"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert checkpoints(tmp_path) == [9, 10]
    assert checkpoints(tmp_path / "nowhere") == []
    assert json.dumps(checkpoints(tmp_path))
