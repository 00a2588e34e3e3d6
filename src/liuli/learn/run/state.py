"""Everything that the next step depends on, in the two folders of a checkpoint, so that a run continues identically to the bit.

`model/` is a model folder that any program can open, with the average of the weights (fp32). `state/` has the rest: the weights
of the last step, the optimiser's tensors, random states and the loader's cursor and buffer (safetensors), and in JSON the
numbers, what was fixed at the start, and the SHA-256 of every file, so that a truncated or edited file is an error.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from liuli.errors import LiuliError

TENSORS, FACTS = "state/tensors.safetensors", "state/state.json"


@dataclass(frozen=True, slots=True)
class State:
    """`facts` for JSON, `tensors` by name."""

    facts: dict[str, Any]
    tensors: dict[str, Tensor]


def write_state(part: Path, state: State, write_model: Callable[[Path], None]) -> None:
    """Fills the folder of a checkpoint."""
    write_model(part / "model")
    (part / "state").mkdir()
    tensors = {name: tensor.detach().to("cpu").contiguous() for name, tensor in state.tensors.items()}
    save_file(tensors, part / TENSORS)
    files = {str(path.relative_to(part)): file_hash(path) for path in sorted(part.rglob("*")) if path.is_file()}
    body = state.facts | {"files": files}
    (part / FACTS).write_text(json.dumps(body | {"sha256": _digest(body)}, indent=1) + "\n", encoding="utf-8")


def read_state(place: Path, before: int | None) -> State:
    """The state in a checkpoint's folder, after every file was compared with its hash.

    Args:
        before: the checkpoint to suggest if this one is damaged.

    Raises:
        LiuliError: a file is missing, or was changed after it was written.
    """

    def damaged(name: str, how: str) -> LiuliError:
        offer = "there is no other checkpoint: start a new run in another folder"
        if before is not None:
            offer = f"to continue from step {before} instead, delete {place} and resume again"
        return LiuliError(f"{place / name} {how}; {offer}")

    try:
        facts = json.loads((place / FACTS).read_text(encoding="utf-8"))
        if facts.pop("sha256", None) != _digest(facts):
            raise damaged(FACTS, "was changed after it was written")
    except (OSError, ValueError, AttributeError, TypeError):
        raise damaged(FACTS, "is missing or was cut short") from None
    for name, expected in facts["files"].items():
        if not (place / name).is_file():
            raise damaged(name, "is missing")
        if file_hash(place / name) != expected:
            raise damaged(name, "was changed or cut short after it was written")
    try:
        return State(facts, load_file(place / TENSORS))
    except (OSError, SafetensorError) as error:
        raise damaged(TENSORS, f"cannot be read: {error}") from None


def random_states(device: torch.device) -> dict[str, Tensor]:
    """The states of PyTorch's generators, on the CPU and on the GPU that trains."""
    found = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        found["random.cuda"] = torch.cuda.get_rng_state(device)
    return found


def restore_random_states(tensors: dict[str, Tensor], device: torch.device) -> None:
    """Continues from what `random_states` returned, if that is of the same kind of device."""
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], device)


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix.`, by the rest of their names."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
