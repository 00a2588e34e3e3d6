"""Where and in what numbers a model computes: the devices of this machine, the CPU threads, and the names of the dtypes."""

import torch

from liuli.errors import LiuliError

SMALL = 10_000_000  # parameters
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def find_device(name: str | None) -> torch.device:
    """The device of that name, its index included; None: a GPU if this machine has one.

    Raises:
        LiuliError: there is no such device here.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    here = [kind for kind, there in available.items() if there]
    if name is None:
        return torch.device(here[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise LiuliError(f"there is no device {name!r}; devices here: {', '.join(here)}") from None
    if device.type not in here:
        raise LiuliError(f"this machine has no {name} device that PyTorch can use; devices here: {', '.join(here)}")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    _, _, index = name.partition(":")  # PyTorch keeps eight bits of it
    if index and int(index) >= count:
        known = f"{device.type}:0 to {device.type}:{count - 1}" if count > 1 else f"only {device.type}:0"
        raise LiuliError(f"there is no device {name!r}: this machine has {known}")
    return device


def find_dtype(name: str) -> torch.dtype:
    """The dtype of that name. Raises LiuliError: there is none."""
    if name not in DTYPES:
        raise LiuliError(f"there is no dtype {name!r}; dtypes: {', '.join(DTYPES)}")
    return DTYPES[name]


def inference_threads(parameters: int) -> int:
    """The number of CPU threads with which a model of that size computes fastest, at most PyTorch's current number.

    A small model gets one. A second thread gains it nothing on an idle machine, and makes it many times slower on a busy one,
    because the threads wait for each other in every layer (docs/lab-log.md).
    """
    return 1 if parameters < SMALL else torch.get_num_threads()


def synchronise(device: torch.device) -> None:
    """Waits until a GPU has finished its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
