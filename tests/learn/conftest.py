"""What trainings in this process leave behind is put back; they neither wait for disks nor touch the user's cache."""

import os

import pytest
import torch
from helpers.command import liuli  # noqa: F401 (a fixture)
from helpers.killing import Killer

from liuli.learn.prepare import fixed


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """For the hashes of model folders."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("XDG_CACHE_HOME")
    if before is not None:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session", autouse=True)
def _few_self_tests():
    """A run measures the machine anew, which takes up to half a second. The trainings of these tests, hundreds of them, measure
    each setting once."""
    known, measure = {}, fixed.self_test

    def self_test(*asked):
        if repr(asked) not in known:
            known[repr(asked)] = measure(*asked)
        return known[repr(asked)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixed, "self_test", self_test)
        yield


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
