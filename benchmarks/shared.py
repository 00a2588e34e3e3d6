"""What benchmarks share: the machine in words, alternating runs, medians."""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from liuli.learn.prepare.machine import processor
from liuli.model.config import PRESETS
from liuli.model.decoder import Decoder
from liuli.model.formats.hugging_face import write_decoder
from liuli.tokens.train import train
from liuli.world import World

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


def write_random_model(folder: Path, preset: str, dtype: torch.dtype, world: World, documents: int) -> None:
    """A model with random weights as a folder, with a tokenizer that is trained on documents of the world."""
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    decoder = Decoder(PRESETS[preset])
    torch.set_default_dtype(torch.float32)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.02)
    train(world.documents(documents), "bpe", 1000).write(folder)
    write_decoder(decoder, folder, dtype)
