"""Where a model's folder is: on this machine, or on the Hugging Face hub under `owner/model`, fetched once and cached.
A dataset's folder likewise."""

import re
from pathlib import Path
from typing import Literal

from liuli.errors import LiuliError

DESCRIPTIONS = ["*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja"]


def find_folder(name: str | Path, weights: bool = False) -> Path:
    """The folder `name`, or the cached copy of the hub's model `owner/model`, downloaded where it is new.

    Args:
        weights: fetch the weights too (safetensors; `pytorch_model.bin` only where there are none).

    Raises:
        LiuliError: there is no such folder and the hub has no such model or cannot be reached.
    """
    folder = Path(name)
    if folder.is_dir() and str(name):
        return folder
    if folder.exists():
        raise LiuliError(f"{name} is a file; give the folder that holds it")
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", str(name)):
        raise LiuliError(f"there is no folder {name}; give a model's folder, or a name on the hub such as owner/model")
    here = f"there is no folder {name} here, and "
    fetched = _fetch(str(name), "model", DESCRIPTIONS + ["model*.safetensors"] * weights, here)
    if weights and not any(fetched.glob("model*.safetensors")):
        fetched = _fetch(str(name), "model", [*DESCRIPTIONS, "pytorch_model*.bin"], here)
    return fetched


def find_dataset(name: str, patterns: list[str]) -> Path:
    """The cached copy of the hub's dataset `owner/dataset`, with the files that match `patterns`, in any of its folders.

    Its card (README.md) is not fetched. There may be other files, fetched before, and no folder at all if nothing matches.

    Raises:
        LiuliError: the hub has no such dataset or cannot be reached.
    """
    return _fetch(name, "dataset", patterns, f"hub:{name}: ")


def _fetch(name: str, kind: Literal["model", "dataset"], patterns: list[str], here: str) -> Path:
    import huggingface_hub as hub
    from huggingface_hub import errors

    ignored = ["*/*"] if kind == "model" else ["README.md"]
    try:
        return Path(hub.snapshot_download(name, repo_type=kind, allow_patterns=patterns, ignore_patterns=ignored))
    except errors.GatedRepoError:
        raise LiuliError(f"{here}the hub's {kind} has terms: accept them on its page and log in with `hf auth login`") from None
    except errors.RepositoryNotFoundError:
        raise LiuliError(f"{here}the hub has no {kind} of that name (or it is private: log in with `hf auth login`)") from None
    except Exception as error:  # unreachable, offline, cut off, not cached: the library's errors have no common class
        reason = str(error).strip().split("\n")[0]
        raise LiuliError(
            f"{here}the hub could not give the {kind} of that name ({reason}). Offline? Download its files where you can, "
            f"put them in a folder, and give that folder"
        ) from None
