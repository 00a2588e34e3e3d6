"""Where a model's folder is: on this machine, or on the Hugging Face hub under `owner/model`, fetched once and cached."""

import re
from pathlib import Path

from liuli.errors import LiuliError

DESCRIPTIONS = ["*.json", "*.txt", "*.model", "*.tiktoken"]


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
    fetched = _fetch(str(name), DESCRIPTIONS + ["model*.safetensors"] * weights)
    if weights and not any(fetched.glob("model*.safetensors")):
        fetched = _fetch(str(name), [*DESCRIPTIONS, "pytorch_model*.bin"])
    return fetched


def _fetch(name: str, patterns: list[str]) -> Path:
    import huggingface_hub as hub
    from huggingface_hub import errors

    here = f"there is no folder {name} here, and "
    try:
        return Path(hub.snapshot_download(name, allow_patterns=patterns, ignore_patterns=["*/*"]))
    except errors.GatedRepoError:
        raise LiuliError(f"{here}the hub's model has terms: accept them on its page and log in with `hf auth login`") from None
    except errors.RepositoryNotFoundError:
        raise LiuliError(f"{here}the hub has no model of that name (or it is private: log in with `hf auth login`)") from None
    except Exception as error:  # unreachable, offline, cut off, not cached: the library's errors have no common class
        reason = str(error).strip().split("\n")[0]
        raise LiuliError(
            f"{here}the hub could not give the model of that name ({reason}). Offline? Download its files where you can, "
            f"put them in a folder, and give that folder"
        ) from None
