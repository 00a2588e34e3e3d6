"""How much memory a run is expected to take, how much there is, and what to do if that is too little.

In: a `TrainingPlan` with its recipe and how it computes. Out: a `MemoryOutlook`. The formulas are in `model/memory.py`.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from liuli.devices import find_dtype
from liuli.learn.prepare.fixed import Fixed
from liuli.learn.run.events import Note
from liuli.learn.stages.stage import TrainingPlan
from liuli.learn.step.recipe import Recipe
from liuli.model.formats.detect import frozen_itemsize
from liuli.model.memory import TrainingMemory, training_memory
from liuli.units import byte_size

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# (folder below CGROUPS, limit, use, what of the use the system can take back) of cgroups, version 2 and 1.
CGROUP_FILES = {
    "": ("", "memory.max", "memory.current", "inactive_file"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


@dataclass(frozen=True, slots=True)
class MemoryOutlook:
    """The memory that a run is expected to need at its peak, and the memory that is available, in bytes.

    Attributes:
        free: None if the system does not report it.
        recompute: whether activations are computed again (`Decoder.recompute`).
    """

    expected: TrainingMemory
    free: int | None
    recompute: bool

    @property
    def fits(self) -> bool:
        return self.free is None or self.expected.total <= self.free

    def notes(self, plan: TrainingPlan, recipe: Recipe) -> Iterator[Note]:
        """What people should know of it before the first step."""
        if self.recompute:
            yield Note("to save memory, the backward pass computes each layer again: a step takes about a third longer")
        if self.fits or self.free is None:
            return
        ways = ["a smaller --rows"] * (recipe.rows_at_once > 1) + ["a smaller --length"]
        if plan.tokenization.chat is not None and plan.job.model.lora is None:
            ways.append("--lora 8")
        yield Note(
            f"the run is expected to need about {byte_size(self.expected.total, 2)} of memory, but only "
            f"{byte_size(self.free, 2)} is free, so the operating system may kill the process: use {' or '.join(ways)}"
        )


def outlook(plan: TrainingPlan, recipe: Recipe, fixed: Fixed, recompute: bool | None = None) -> MemoryOutlook:
    """What to expect of a run.

    Args:
        recompute: as the run decided when it began; None: only if the memory is too little otherwise.
    """
    lora = plan.job.model.lora
    parent = plan.data.parent
    load = recipe.workload(
        plan.config,
        bits=8 * find_dtype(fixed.dtype).itemsize,
        lora=lora,
        base=frozen_itemsize(parent.folder) if lora is not None and parent is not None else 4,
        on_cpu=fixed.device == "cpu",
    )
    free = free_memory(torch.device(fixed.device))
    found = MemoryOutlook(training_memory(plan.config, load), free, False)
    if recompute or (recompute is None and not found.fits):
        return MemoryOutlook(training_memory(plan.config, replace(load, recompute=True)), free, True)
    return found


def free_memory(device: torch.device) -> int | None:
    """Returns the bytes that this process can use in total, including what it uses already; None if the system does not
    report it.

    On Linux it is what the kernel calls available, or less if a control group of the process has a limit.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    if device.type != "cpu" or sys.platform != "linux":
        return None
    available = _kilobytes(PROC / "meminfo", "MemAvailable")
    if available is None:
        return None
    return min([available, *_left_in_cgroups()]) + (_kilobytes(PROC / "self/status", "RssAnon") or 0)


def _left_in_cgroups() -> Iterator[int]:
    """Yields the bytes left below each memory limit of the process's control group and its parents."""
    for line in _text(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        kind = next((each for each in controllers.split(",") if each in CGROUP_FILES), None)
        if kind is None:
            continue
        below, limit, use, taken_back = CGROUP_FILES[kind]
        root = CGROUPS / below
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            if not folder.is_relative_to(root):
                break
            most, used = _text(folder / limit).strip(), _text(folder / use).strip()
            if most.isdigit() and used.isdigit():
                cached = re.search(rf"^{taken_back} (\d+)$", _text(folder / "memory.stat"), re.M)
                yield max(0, int(most) - int(used) + (int(cached[1]) if cached else 0))


def _kilobytes(path: Path, name: str) -> int | None:
    """A line of such a file, `name:   1234 kB`, in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", _text(path), re.M)
    return int(found[1]) * 1024 if found else None


def _text(path: Path) -> str:
    """The file, or nothing if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
