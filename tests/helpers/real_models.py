"""The two real models of `../shared/data/models`: large, so they are in a cache, and whoever asks for one skips without it."""

import subprocess
import sys
from pathlib import Path

import pytest


def real_model(data: Path, name: str) -> Path:
    """The path of a real GGUF file, from the cache, or fetched if that is possible."""
    found = subprocess.run([sys.executable, data / "models" / "get.py", name], capture_output=True, text=True, timeout=120)
    path = Path(found.stdout.strip())
    if found.returncode or not path.is_file():
        pytest.skip(f"needs the model {name}, which is neither in the cache nor to be fetched")
    return path
