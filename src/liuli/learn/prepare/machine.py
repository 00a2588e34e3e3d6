"""The settings in which this machine computes fastest: a self-test of half a second.

It is made again in every run, because a machine that was busy a moment ago may be free now. Two processors of the same name may
differ by a factor of six in 16 bits (AMX). Two threads on a busy machine may be slower than one. A narrow model gains from
neither. So one block of the actual model is timed, forward and backward, in each setting.
"""

import ctypes
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import nn

from liuli.devices import DTYPES, synchronise
from liuli.fields import Record
from liuli.learn.prepare.job import TRAINED_IN
from liuli.model.attention import attention_dtype
from liuli.model.config import Config
from liuli.model.decoder import Block
from liuli.model.linear import MixedLinear, exchange
from liuli.model.mask import attention_mask
from liuli.model.rotary import Rotary

TOKENS = 1024  # of the block's test, at most
ROUNDS, SECONDS = 5, 0.02  # in turn over all settings; at least, for each setting in a round
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


@dataclass(frozen=True, slots=True)
class Machine(Record):
    """The `dtype` of matrix multiplications and the number of CPU `threads` that train fastest. `peak`: FLOP/s of a large
    matrix multiplication with them. `tokens_per_second`: of one block, by setting."""

    dtype: str
    threads: int
    peak: float
    tokens_per_second: dict[str, float]


def self_test(config: Config, length: int, device: torch.device, dtype: str | None, threads: int | None) -> Machine:
    """The fastest of the settings that are not given. Those given are used unchanged.

    Args:
        length: positions of a row.
    """
    settings = [(name, count) for name in ([dtype] if dtype else TRAINED_IN) for count in _thread_counts(device, threads)]
    before, random = torch.get_num_threads(), torch.get_rng_state()
    try:
        times: dict[tuple[str, int], list[float]] = {setting: [] for setting in settings}
        steps = {name: _block_step(config, length, device, DTYPES[name]) for name, _ in settings}
        for _ in range(ROUNDS):
            for name, count in settings:
                torch.set_num_threads(count)
                times[name, count].append(_seconds(steps[name][1], device))
        speeds = {(name, count): steps[name][0] / median(taken) for (name, count), taken in times.items()}
        fastest, count = max(speeds, key=lambda setting: speeds[setting])
        torch.set_num_threads(count)
        size = 1024 if device.type == "cpu" else 8192
        matrix = torch.randn(size, size, device=device, dtype=DTYPES[fastest])
        peak = 2 * size**3 / _seconds(lambda: matrix @ matrix, device)
    finally:
        torch.set_num_threads(before)
        torch.set_rng_state(random)
    by_setting: dict[str, float] = {f"{name}, {used} threads": round(speed) for (name, used), speed in speeds.items()}
    return Machine(fastest, count, peak, by_setting)


def processor(device: torch.device | None = None) -> str:
    """The processor's or the GPU's name."""
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().split("\n") if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def keep_memory() -> None:
    """Has the C library keep memory that is freed. By default glibc gives it back to the system at the end of a step, and
    every page of it is cleared again in the next: a fifth of a small model's step (docs/lab-log.md)."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, 1 << 30)  # bytes; larger tensors are still given back
        library.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def _thread_counts(device: torch.device, threads: int | None) -> list[int]:
    most = torch.get_num_threads()
    if threads is not None:
        return [threads]
    return [most] if device.type != "cpu" or most == 1 else [1, most]


def _block_step(config: Config, length: int, device: torch.device, dtype: torch.dtype) -> tuple[int, Callable[[], object]]:
    """Forward and backward of one block, as a call; and how many tokens it takes."""
    with torch.device(device):
        length = min(length, TOKENS)
        shape = torch.Size((max(1, TOKENS // length), length))
        block = Block(config, 0)
        for parameter in block.parameters():
            nn.init.normal_(parameter, std=0.02)
        if dtype != torch.float32:
            exchange(block, lambda _, linear: MixedLinear(linear, dtype))
        x_ND = torch.randn(shape.numel(), config.width, requires_grad=True)
        index_BT = torch.arange(length)[None]
        turned_in = attention_dtype(device.type == "cpu", length, dtype, torch.float32)
        angles = Rotary(config.head_width, config.rope_theta).angles(index_BT, turned_in) if config.rotary else None
        seen = attention_mask(index_BT, length, torch.zeros(shape, dtype=torch.int64), None, None)
    return shape.numel(), lambda: block(x_ND, shape, angles, seen, None, lambda _, x: x).sum().backward()


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """Of the fastest of several runs."""
    found: list[float] = []
    while sum(found) < SECONDS or len(found) < 2:
        synchronise(device)
        start = time.perf_counter()
        run()
        synchronise(device)
        found.append(time.perf_counter() - start)
    return min(found)
