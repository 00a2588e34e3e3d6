"""Hashes of folders are kept until a file changes, and a broken or missing cache changes no hash."""

import os
import shutil
from pathlib import Path

import pytest
from helpers import families

from liuli.errors import LiuliError
from liuli.model.formats import hash_cache, hugging_face
from liuli.model.formats.detect import hash_model, read_decoder
from liuli.model.formats.hash_cache import cache_folder
from liuli.model.formats.hugging_face import write_decoder


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    """An empty cache, in which files count as settled at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(hash_cache, "SETTLED", -3600.0)


@pytest.fixture
def folder(tmp_path) -> Path:
    families.save("llama2", tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Grows by one each time that tensors are really hashed."""
    calls: list[str] = []
    real = hugging_face.hash_tensors
    monkeypatch.setattr(hugging_face, "hash_tensors", lambda *given: calls.append("read") or real(*given))
    return calls


def flip_a_bit(path: Path) -> None:
    """Changes the last byte and restores size and date."""
    stat = path.stat()
    with path.open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-2, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_folder_that_did_not_change_is_read_once(folder, read):
    assert hash_model(folder) == hash_model(folder) == hash_model(folder / ".." / "model")
    assert len(read) == 1
    assert [path.parent for path in cache_folder().iterdir()] == [cache_folder()]


@pytest.mark.parametrize("change", ["a bit", "rewritten", "replaced", "config", "moved"])
def test_what_changed_is_read_again(folder, read, change):
    first, path = hash_model(folder), folder / "model.safetensors"
    if change == "a bit":
        flip_a_bit(path)
    elif change == "rewritten":
        path.write_bytes(path.read_bytes())
    elif change == "replaced":
        shutil.copy2(path, folder / "copy")
        os.replace(folder / "copy", path)
    elif change == "config":
        (folder / "config.json").write_bytes((folder / "config.json").read_bytes() + b"\n")
    else:
        folder = folder.rename(folder.with_name("other"))
    assert (hash_model(folder) == first) is (change != "a bit")
    assert len(read) == 2


def test_a_link_is_the_file_that_it_leads_to(folder, read, tmp_path):
    (tmp_path / "snapshot").mkdir()
    for path in folder.iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(path)
    first = hash_model(tmp_path / "snapshot")
    assert hash_model(folder) == first
    assert len(read) == 1
    flip_a_bit(folder / "model.safetensors")
    assert hash_model(tmp_path / "snapshot") != first


def test_every_shard_is_watched(folder, read, tmp_path):
    write_decoder(read_decoder(folder), tmp_path / "shards", shard_bytes=10_000)
    first = hash_model(tmp_path / "shards")
    assert first == hash_model(folder)
    flip_a_bit(sorted((tmp_path / "shards").glob("model-*.safetensors"))[1])
    assert hash_model(tmp_path / "shards") != first


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"hash": "1"}', b"\xff" * 9, b"[" * 100_000])
def test_a_broken_cache_is_ignored_and_replaced(folder, read, content):
    first = hash_model(folder)
    (entry,) = cache_folder().iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(content)
    assert hash_model(folder) == first
    assert entry.read_bytes() == whole
    entry.write_bytes(whole.replace(first.encode(), b"no hash"))
    assert hash_model(folder) == first
    assert len(read) == 3


def test_a_cache_that_cannot_be_written(folder, tmp_path, monkeypatch):
    first = hash_model(folder)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert hash_model(folder) == first


def test_a_relative_cache_folder_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "liuli" / "hashes"


def test_files_that_were_just_written_are_not_kept(folder, read, monkeypatch):
    """Within the resolution of a file's times a second change would not be seen."""
    monkeypatch.setattr(hash_cache, "SETTLED", 3600.0)
    hash_model(folder)
    hash_model(folder)
    assert len(read) == 2
    assert not cache_folder().exists()


def test_the_oldest_hashes_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(hash_cache, "KEPT", 3)
    for i in range(5):
        path = tmp_path / f"file{i}"
        path.write_text(str(i))
        assert hash_cache.cached_hash([path], lambda i=i: f"{i:064x}") == f"{i:064x}"
        for age, entry in enumerate(cache_folder().iterdir()):
            os.utime(entry, ns=(age, entry.stat().st_mtime_ns - 10**9))
    assert len(list(cache_folder().iterdir())) == 3
    assert hash_cache.cached_hash([tmp_path / "file4"], lambda: "not asked") == f"{4:064x}"


def test_what_cannot_be_hashed_is_not_kept(folder):
    (folder / "model.safetensors").write_bytes(b"broken")
    for _ in range(2):
        with pytest.raises(LiuliError, match="broken or truncated"):
            hash_model(folder)
    assert not cache_folder().exists()
