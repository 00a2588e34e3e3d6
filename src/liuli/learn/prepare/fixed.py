"""How a run computes. It is fixed when the run begins and must be the same when it is resumed: on the CPU of the same machine
every later loss is then the same to the bit."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from liuli.devices import find_device
from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.learn.prepare.job import COMPUTE, ComputeSettings
from liuli.learn.prepare.machine import Machine, processor, self_test
from liuli.model.config import Config
from liuli.units import counted

OFFER = "use the earlier settings, or resume with --inexact"
# cuBLAS is deterministic only with a workspace of fixed size, which it reads when it is first used.
WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@dataclass(frozen=True, slots=True)
class Fixed(Record):
    """How a run computes, from its first step to its last. `dtype`: of matrix multiplications; `threads`: of the CPU. Another
    `processor` or `pytorch` may round differently."""

    device: str
    dtype: str
    threads: int
    compile: bool
    processor: str
    pytorch: str

    def apply(self) -> None:
        """Sets the threads and the determinism of this process, until the end of `process_restored`."""
        torch.set_num_threads(self.threads)
        _be_deterministic(self.compile)


@contextmanager
def process_restored() -> Iterator[None]:
    """Restores at its end what a run changes in the whole process: threads, determinism, the random states, and the variable
    that cuBLAS reads from the environment."""
    threads = torch.get_num_threads()
    random = torch.get_rng_state()
    of_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    strict = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    workspace = os.environ.get(WORKSPACE[0])
    os.environ.setdefault(*WORKSPACE)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _be_deterministic(strict, warn_only)
        torch.set_rng_state(random)
        if of_gpus:
            torch.cuda.set_rng_state_all(of_gpus)
        if workspace is None:
            os.environ.pop(WORKSPACE[0], None)


def _be_deterministic(strict: bool, warn_only: bool = False) -> None:
    """Does nothing if it is so already: PyTorch imports its compiler for this, for seconds, also after Ctrl-C."""
    now = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if now != (strict, warn_only):
        torch.use_deterministic_algorithms(strict, warn_only=warn_only)


def check_compute(asked: ComputeSettings) -> torch.device:
    """Returns the device that is asked for, or the default. Takes no time.

    Raises:
        LiuliError: this machine does not have the device or the threads.
    """
    device = find_device(asked.device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if asked.threads is not None and asked.threads > cores:
        may_use = f"this process may use {counted(cores, 'processor')}"
        raise LiuliError(f"--threads {asked.threads}: {may_use}; give at most {cores}")
    return device


def choose(asked: ComputeSettings, config: Config, length: int) -> tuple[Fixed, Machine]:
    """The settings that were asked for; the others as the machine's self-test finds fastest.

    Raises:
        LiuliError: what `check_compute` raises.
    """
    device = check_compute(asked)
    machine = self_test(config, length, device, asked.dtype, asked.threads)
    where, compiled = str(device), bool(asked.compile)
    return Fixed(where, machine.dtype, machine.threads, compiled, processor(device), torch.__version__), machine


def choose_again(
    before: Fixed, given: ComputeSettings, inexact: bool, config: Config, length: int
) -> tuple[Fixed, Machine, list[str]]:
    """The settings that were fixed before, if this machine supports them and no others are given.

    Args:
        given: what is given when the run is resumed.

    Returns:
        These settings, and what differs from before: with `inexact` anything, else only what may round differently.

    Raises:
        LiuliError: a setting differs, without `inexact`.
    """
    same = {name: getattr(before, name) for name in COMPUTE}
    other = {name: value for name in same if (value := getattr(given, name)) is not None and not _is_same(value, same[name])}
    try:
        now, machine = choose(ComputeSettings(**same | other), config, length)
        differing = [f"{name} was {same[name]} and is {value} now" for name, value in other.items()]
    except LiuliError as error:
        if not inexact:
            raise LiuliError(
                f"the run cannot be resumed exactly: its settings ({_listed(same | other)}) are not possible here ({error}); "
                f"resume with --inexact"
            ) from None
        now, machine = _nearest(same | other, other, config, length)
        differing = [
            f"{name} was {same[name]} and is {getattr(now, name)} now" for name in same if same[name] != getattr(now, name)
        ]
    if differing and not inexact:
        raise LiuliError(f"the run cannot be resumed exactly: {'; '.join(differing)}; {OFFER}")
    for name in ("processor", "pytorch"):
        if getattr(before, name) != getattr(now, name):
            differing.append(f"{name} was {getattr(before, name)} and is {getattr(now, name)} now")
    return now, machine, differing


def _is_same(value: Any, fixed: Any) -> bool:
    """Whether a setting is what was fixed; cuda is the first of several GPUs, cuda:0."""
    return value == fixed or {value, fixed} == {"cuda", "cuda:0"}


def _nearest(settings: dict[str, Any], given: dict[str, Any], config: Config, length: int) -> tuple[Fixed, Machine]:
    """The settings without the fewest of those that this machine does not have. What is `given` now is never left out.

    Raises:
        LiuliError: this machine does not have what is given.
    """
    for lacking in (("device",), ("threads",), ("device", "threads")):
        try:
            return choose(ComputeSettings(**settings | dict.fromkeys(lacking) | given), config, length)
        except LiuliError:
            continue
    return choose(ComputeSettings(**given), config, length)


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
