"""What benchmarks share: the machine in words, alternating runs, medians."""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"


def machine() -> str:
    """The processor's name, threads, whether it has AMX, and the versions that matter."""
    name, flags = platform.processor() or platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = dict(line.split(":", 1) for line in cpuinfo.read_text().split("\n\n")[0].splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in lines.items()}
        name, flags = fields.get("model name", name), fields.get("flags", "")
    amx = "AMX" if "amx_tile" in flags else "no AMX"
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{name}, {torch.get_num_threads()} threads, {amx}{gpu}; torch {torch.__version__}, Python {platform.python_version()}"
    )


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
