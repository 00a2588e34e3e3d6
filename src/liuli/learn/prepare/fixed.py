"""What is fixed when a run begins and must be the same whenever it goes on, so that it goes on to the bit."""

import os
from dataclasses import dataclass, replace
from typing import Any

import torch

from liuli.devices import find_device
from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.learn.prepare.job import INEXACT, Job
from liuli.learn.prepare.machine import DTYPES, Machine, processor, self_test
from liuli.model.config import Config


@dataclass(frozen=True, slots=True)
class Fixed(Record):
    """`dtype`: of matrix products; `threads`: of the CPU. Another `processor` or version of PyTorch may round otherwise."""

    device: str
    dtype: str
    threads: int
    compile: bool
    processor: str
    pytorch: str

    def apply(self) -> None:
        """Makes this process compute so."""
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(self.compile)


def choose(job: Job, config: Config, length: int) -> tuple[Fixed, Machine]:
    """What the job says; where it is silent, what the machine's self-test finds fastest.

    Raises:
        LiuliError: this machine lacks the device or the threads; there is no such dtype.
    """
    device = find_device(job.device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if job.threads is not None and job.threads > cores:
        raise LiuliError(f"--threads {job.threads}: this machine has {cores} processors for us; give at most {cores}")
    if job.dtype is not None and job.dtype not in DTYPES:
        raise LiuliError(f"there is no dtype {job.dtype!r} to train in; dtypes: {', '.join(DTYPES)}")
    machine = self_test(config, length, device, job.dtype, job.threads)
    kind, compiled = device.type, bool(job.compile)
    return Fixed(kind, machine.dtype, machine.threads, compiled, processor(device), torch.__version__), machine


def again(before: Fixed, job: Job, asked: Job, inexact: bool, config: Config, length: int) -> tuple[Fixed, Machine, list[str]]:
    """What was fixed before, if this machine can have it and nobody says otherwise now.

    Returns:
        With it, what is not as it was: with `inexact` anything; else only what may round otherwise.

    Raises:
        LiuliError: it differs, and not `inexact`; says what.
    """
    same = {name: getattr(before, name) for name in INEXACT}
    said = {name: getattr(job, name) for name in same if getattr(job, name) not in (None, same[name])}
    try:
        now, machine = choose(replace(asked, **same | said), config, length)
        differing = [f"{name} was {same[name]} and is {value} now" for name, value in said.items()]
    except LiuliError as error:
        if not inexact:
            raise LiuliError(f"the run cannot go on exactly: it was fixed to {_listed(same)}, but {error}; {OFFER}") from None
        now, machine = choose(replace(asked, **dict.fromkeys(same) | said), config, length)
        differing = [
            f"{name} was {same[name]} and is {getattr(now, name)} now" for name in same if same[name] != getattr(now, name)
        ]
    if differing and not inexact:
        raise LiuliError(f"the run cannot go on exactly: {'; '.join(differing)}; {OFFER}")
    for name in ("processor", "pytorch"):
        if getattr(before, name) != getattr(now, name):
            differing.append(f"{name} was {getattr(before, name)} and is {getattr(now, name)} now")
    return now, machine, differing


OFFER = "leave that as it was, or go on with --inexact"


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
