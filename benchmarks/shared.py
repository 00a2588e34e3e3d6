"""What benchmarks share: the machine in words, alternating runs, medians."""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from liuli.learn.prepare.machine import processor

SHARED = Path(__file__).resolve().parents[2] / "shared"


def machine() -> str:
    """The processor's name, threads, whether it has AMX, and the versions that matter."""
    cpuinfo = Path("/proc/cpuinfo")
    amx = "AMX" if cpuinfo.exists() and "amx_tile" in cpuinfo.read_text() else "no AMX"
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    return f"{processor()}, {torch.get_num_threads()} threads, {amx}{gpu}; {versions}"


def alternate(runs: dict[str, Callable[[], float]], times: int) -> dict[str, float]:
    """Runs all of `runs` in turn, `times` over, after one turn to warm up; the median of what each returns."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(times + 1):
        for name, run in runs.items():
            value = run()
            if turn:
                found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
