"""Shared by all tests: where the real data is, and what to do where it is not."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real texts, tokenizers and a small trained model; a test that asks for it skips without it."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the real data of ../shared/data, which is not here")
    return SHARED / "data"


@pytest.fixture(scope="session")
def stories(data: Path) -> Path:
    """A trained Llama of 260 thousand parameters."""
    return data / "models" / "stories260k"


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    from helpers import tiny

    folder = tmp_path_factory.mktemp("tiny")
    tiny.save(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path):
    """The tiny model, loaded."""
    from liuli import load

    return load(tiny_folder)
