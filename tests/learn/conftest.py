"""What trainings in this process leave behind is put back; they neither wait for disks nor touch the user's cache."""

import os

import pytest
import torch
from helpers.command import liuli  # noqa: F401 (a fixture)
from helpers.killing import Killer


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """For the machine's self-test, which is made once."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("XDG_CACHE_HOME")
    if before is not None:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def killer():
    with Killer() as server:
        yield server


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    monkeypatch.setattr(os, "fsync", lambda number: None)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
