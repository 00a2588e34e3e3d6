"""Files that are whole or not there, one and several at once."""

import json
import os
from pathlib import Path

import pytest

from liuli.errors import LiuliError
from liuli.files import write_json_lines, write_text, write_together, write_whole
from liuli.output_paths import part_of


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def writer(text: str):
    return lambda part: part.write_text(text)


def failing(part: Path) -> None:
    part.write_text("half")
    raise KeyboardInterrupt


def test_several_files_at_once(tmp_path):
    write_text(tmp_path / "a", "old\n")
    write_together({tmp_path / "a": writer("one"), tmp_path / "b": writer("two")})
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("one", "two")
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "a", "b"), ("a", "c", "b")])
def test_if_one_fails_all_are_as_they_were(tmp_path, order):
    write_text(tmp_path / "a", "old\n")
    writers = {"a": writer("new"), "b": writer("new"), "c": failing}
    with pytest.raises(KeyboardInterrupt):
        write_together({tmp_path / name: writers[name] for name in order})
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old\n"
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", failing)
    assert names(tmp_path) == ["a"]


def test_each_is_flushed_before_any_is_renamed(tmp_path, monkeypatch):
    done: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def flushed(number: int) -> None:
        done.append(("fsync", Path(os.readlink(f"/proc/self/fd/{number}")).name if Path("/proc").is_dir() else ""))
        fsync(number)

    def renamed(part: Path, path: Path) -> None:
        done.append(("rename", path.name))
        replace(part, path)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    write_together({tmp_path / "a": writer("one"), tmp_path / "b": writer("two")})
    assert [what for what, _ in done] == ["fsync", "fsync", "rename", "rename", "fsync"]
    if Path("/proc").is_dir():
        assert [name for _, name in done] == [".a.part", ".b.part", "a", "b", tmp_path.name]


def test_what_a_killed_program_left_is_replaced(tmp_path):
    part_of(tmp_path / "a").write_text("left by a killed program")
    write_text(tmp_path / "a", "new\n")
    assert names(tmp_path) == ["a"]


def test_lines_of_json(tmp_path):
    assert write_json_lines(({"text": f"行 {i}\n"} for i in range(3)), tmp_path / "a.jsonl") == 3
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"text": f"行 {i}\n"} for i in range(3)]
    with pytest.raises(LiuliError, match=r"cannot be written: (not a directory|file exists)"):
        write_json_lines([], tmp_path / "a.jsonl" / "b.jsonl")
    assert write_json_lines([], tmp_path / "new" / "deep" / "a.jsonl") == 0
    with pytest.raises(ValueError, match="Out of range float values"):
        write_json_lines([{"x": float("inf")}], tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="Out of range float values"):
        write_json_lines([{"x": float("inf")}], tmp_path / "other" / "a.jsonl")
    assert names(tmp_path) == ["a.jsonl", "new"]
    assert len((tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()) == 3
