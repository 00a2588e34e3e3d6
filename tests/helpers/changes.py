"""Changes to the files of a model's or an adapter's folder, for tests of folders that are broken or unusual."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def change_json(path: Path, **changes: Any) -> None:
    """Sets fields of the JSON object in a file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(path: Path, change: Change) -> None:
    """Replaces the tensors in a file. `change` takes the tensors by name and returns the new ones."""
    save_file({name: tensor.clone().contiguous() for name, tensor in change(load_file(path)).items()}, path)


def change_config(folder: Path, **changes: Any) -> None:
    change_json(folder / "config.json", **changes)


def change_weights(folder: Path, change: Change) -> None:
    change_tensors(folder / "model.safetensors", change)


def change_adapter_config(folder: Path, **changes: Any) -> None:
    change_json(folder / "adapter_config.json", **changes)


def change_adapter_weights(folder: Path, change: Change) -> None:
    change_tensors(folder / "adapter_model.safetensors", change)
