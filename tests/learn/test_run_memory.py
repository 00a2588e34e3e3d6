"""What a run says of the memory that it needs, and what it does if there is too little."""

from dataclasses import replace

import pytest
import torch
from helpers.trainings import assert_same, job_in, kept, run

from liuli.learn.prepare import memory
from liuli.learn.prepare.memory import free_memory
from liuli.learn.run.events import Note, Ready

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("text")


def notes(events):
    return [event.text for event in events if isinstance(event, Note)]


def ready(events):
    return next(event for event in events if isinstance(event, Ready))


def test_a_run_says_what_it_expects(folder, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "free_memory", lambda device: asked.append(device) or 23_000_000_000)
    events = run(job_in(folder, 3), tmp_path / "run")
    assert asked == [CPU]  # once, so that what the first line says is what the notes were decided by
    assert 250e6 < ready(events).memory < 300e6
    assert ready(events).free == 23_000_000_000
    assert not any("memory" in note for note in notes(events))


def test_where_memory_is_not_known_nothing_is_done(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: None)
    events = run(job_in(folder, 3), tmp_path / "run")
    assert ready(events).free is None
    assert not any("memory" in note for note in notes(events))


def test_too_little_memory(folder, tmp_path, monkeypatch):
    """Layers are computed again, which a resumed run keeps although there is enough then; nothing else differs."""
    run(job_in(folder, 10), tmp_path / "plenty")
    with monkeypatch.context() as patch:
        patch.setattr(memory, "free_memory", lambda device: 100_000_000)
        events = run(job_in(folder, 10), tmp_path / "short", at=[4])
    first, second = [note for note in notes(events) if "memory" in note]
    assert first == "to save memory, the backward pass computes each layer again: a step takes about a third longer"
    assert "of memory, but only 100 MB is free" in second
    assert "use a smaller --rows or a smaller --length" in second and "--lora" not in second
    resumed = run(job_in(folder, 10), tmp_path / "short", resume=True)
    assert [note for note in notes(resumed) if "memory" in note] == [first]
    found, wanted = kept(tmp_path / "short"), kept(tmp_path / "plenty")
    assert found["facts"].pop("recompute") and not wanted["facts"].pop("recompute")
    assert found["card"].pop("recompute") and not wanted["card"].pop("recompute")
    assert_same(found, wanted)


def test_what_to_give_follows_the_run(folder, tmp_path, monkeypatch):
    found = []
    real = memory.outlook
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    monkeypatch.setattr("liuli.learn.prepare.fresh.outlook", lambda *given: found.append((given, real(*given))) or found[0][1])
    run(job_in(folder, 3), tmp_path / "run")
    (plan, recipe, _), outlook = found[0]
    one_row = list(outlook.notes(plan, replace(recipe, rows_at_once=1)))[-1]
    assert one_row.text.endswith("use a smaller --length")


def system(tmp_path, monkeypatch, cgroup="", **files):
    """A /proc and a /sys/fs/cgroup with these files."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory.sys, "platform", "linux")
    texts = {
        "proc/meminfo": "MemTotal:       32000 kB\nMemAvailable:   20000 kB\n",
        "proc/self/status": "VmRSS:\t 900 kB\nRssAnon:\t     500 kB\n",
        "proc/self/cgroup": cgroup,
    } | {f"cgroup/{name}": text for name, text in files.items()}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)


def test_free_memory_is_what_is_available_and_what_the_process_has(tmp_path, monkeypatch):
    system(tmp_path, monkeypatch)
    assert free_memory(CPU) == 20_500 * 1024


def test_a_limit_of_a_control_group(tmp_path, monkeypatch):
    """Of the group itself or of one above it; what is cached can be taken back."""
    within = {"a/memory.max": "9000000", "a/memory.current": "4000000", "a/memory.stat": "anon 7\ninactive_file 1000000\n"}
    system(tmp_path, monkeypatch, "0::/a/b\n", **within | {"a/b/memory.max": "max", "a/b/memory.current": "3000000"})
    assert free_memory(CPU) == 6_000_000 + 500 * 1024


def test_a_limit_of_the_first_version_of_control_groups(tmp_path, monkeypatch):
    names = ("limit_in_bytes", "usage_in_bytes")
    files = {f"memory/x/memory.{name}": text for name, text in zip(names, ("5000000", "6000000"), strict=True)}
    system(tmp_path, monkeypatch, "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n", **files)
    assert free_memory(CPU) == 500 * 1024


def test_another_system_does_not_say(tmp_path, monkeypatch):
    system(tmp_path, monkeypatch)
    (tmp_path / "proc/meminfo").unlink()
    assert free_memory(CPU) is None
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert free_memory(CPU) is None
