"""Finds a model: a folder or a GGUF file on this machine, or `owner/model` on the Hugging Face Hub, which is downloaded once
and cached. Datasets on the hub are found in the same way.

A download is announced to the logger `liuli.hub` at level INFO, which Python does not print unless a program asks for it.
The command line does.
"""

import logging
import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from liuli.display import first_line, printable, why
from liuli.errors import LiuliError

DESCRIPTIONS = ["*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja"]
HUB_NAME = r"\w[\w.-]*/[\w.-]+"  # ASCII only
HUB_GGUF = rf"({HUB_NAME})/(\w[\w.-]*\.gguf)"
SHARD = r"-\d{5}-of-(\d{5}\.gguf)$"
FILE_SUFFIXES = (
    ".bin", ".gguf", ".gz", ".jinja", ".json", ".jsonl", ".md", ".model", ".parquet", ".pt", ".pth", ".safetensors",
    ".tiktoken", ".txt", ".zip", ".zst",
)  # fmt: skip
TIMEOUT = 10  # seconds
TEMPLATES = "additional_chat_templates"  # the only folder inside a model's whose files are downloaded
# Patterns that match every other folder: its name differs from TEMPLATES at some character, is shorter, or is longer.
OTHER_FOLDERS = [
    *(f"{TEMPLATES[:i]}[!{TEMPLATES[i]}]*/*" for i in range(len(TEMPLATES))),
    *(f"{TEMPLATES[:i]}/*" for i in range(1, len(TEMPLATES))),
    f"{TEMPLATES}[!/]*/*",
]

logger = logging.getLogger(__name__)


def is_gguf(model: Path) -> bool:
    """Whether a model's path names a GGUF file, and not a folder."""
    return model.suffix.lower() == ".gguf" and not model.is_dir()


def what_holds(model: Path) -> str:
    """What contains a model, for people: the folder, or the file."""
    return "the file" if is_gguf(model) else "the folder"


def find_model(name: str | Path, weights: bool = False) -> Path:
    """Returns the folder or GGUF file `name`, or the cached copy of the hub's model `owner/model`, or of one GGUF file in it,
    `owner/model/file.gguf`. It is downloaded if it is new. For a run's folder, returns the folder of its latest model.

    A name that looks like a path is never looked up on the hub (see `_why_a_path`).

    Args:
        weights: fetch the weights too (safetensors; `pytorch_model.bin` only if there are none). A GGUF file has them in any
            case.

    Raises:
        LiuliError: what `local_model` raises; the hub has no such model or cannot be reached.
    """
    if found := local_model(name):
        return found
    given = str(name)
    similar = _similar_path(given)
    here = f"there is no folder {given} here{f' (did you mean {similar}?)' if similar else ''}, and "
    if parts := re.fullmatch(HUB_GGUF, given, re.ASCII):
        return _fetch_gguf(*parts.groups())
    fetched = _fetch(given, "model", DESCRIPTIONS + (["model*.safetensors"] if weights else []), here)
    if weights and not any(fetched.glob("model*.safetensors")):
        fetched = _fetch(given, "model", [*DESCRIPTIONS, "pytorch_model*.bin"], here)
    return fetched


def local_model(name: str | Path) -> Path | None:
    """Returns the folder or GGUF file `name`, or for a run's folder, the folder of its latest model. None if there is none,
    and the name may be that of a model on the hub. Takes no time: nothing is opened or downloaded.

    Raises:
        LiuliError: there is no such folder, and the name is a path; the folder is a run's and has no model yet.
    """
    given, shown = str(name), printable(str(name))
    try:
        if given and Path(given).is_dir():
            return _checked(model_in(Path(given)), shown)
        if given and Path(given).exists():
            if is_gguf(Path(given)):
                return Path(given)
            raise LiuliError(f"{shown} is a file; give the folder that contains it, or a .gguf file")
    except (OSError, ValueError) as error:  # a name that is too long or has a NUL; a folder without permission
        raise LiuliError(f"{shown} cannot be opened: {why(error)}") from error
    if reason := _why_a_path(given):
        raise LiuliError(f"there is no folder {shown}; {reason}")
    return None


def model_in(folder: Path) -> Path:
    """Returns `folder/model` if `folder` is a run's (it contains `run.json` and `model/`), otherwise `folder` itself."""
    model = folder / "model"
    return model if (folder / "run.json").is_file() and model.is_dir() else folder


def _checked(folder: Path, shown: str) -> Path:
    if (folder / "run.json").is_file() and not (folder / "config.json").is_file():
        raise LiuliError(f"{shown} is a run that has no checkpoint yet, so it contains no model: resume the run with --resume")
    return folder


def _similar_path(name: str) -> str:
    """A path here that differs from the name by a misspelled folder; "" if there is none."""
    first, _, rest = name.partition("/")
    folders = [each.name for each in Path().iterdir() if each.is_dir()]
    candidates = [each for each in get_close_matches(first, folders, 3, 0.8) if each != first and (Path(each) / rest).exists()]
    return f"{printable(candidates[0])}/{rest}" if candidates else ""


def _why_a_path(name: str) -> str:
    """Why a name is read as a path on this machine and not as a name on the hub; "" if it may be a name on the hub."""
    owner, of_gguf = name.split("/")[0], re.fullmatch(HUB_GGUF, name, re.ASCII)
    if not (of_gguf or re.fullmatch(HUB_NAME, name, re.ASCII)):
        return (
            "give a model's folder, a .gguf file, or a name on the Hugging Face Hub such as owner/model or "
            "owner/model/file.gguf"
        )
    if name.lower().endswith(FILE_SUFFIXES) and not of_gguf:
        return (
            "it looks like the path of a file; give the folder that contains the model, an existing .gguf file, or "
            "owner/model/file.gguf on the Hugging Face Hub"
        )
    if os.path.isdir(owner):
        return (
            f"{owner} is a folder here, so this is read as a path and not as a name on the Hugging Face Hub: check the name of "
            f"the folder"
        )
    return ""


def find_dataset(name: str, patterns: list[str]) -> Path:
    """The cached copy of the hub's dataset `owner/dataset`, with the files that match `patterns`, in any of its folders.

    Its card (README.md) is not fetched. There may be other files, fetched before, and no folder at all if nothing matches.

    Raises:
        LiuliError: the hub has no such dataset or cannot be reached.
    """
    return _fetch(name, "dataset", patterns, f"hub:{printable(name)}: ")


def _fetch_gguf(repository: str, file: str) -> Path:
    """Raises LiuliError: the hub has no such model, or the model no such file; the hub cannot be reached."""
    here = f"there is no file {repository}/{file} here, and "
    fetched = _fetch(repository, "model", [re.sub(SHARD, r"-*-of-\1", file)], here)
    if not (fetched / file).is_file():
        raise LiuliError(
            f"{here}the model {repository} on the Hugging Face Hub has no file {file}: check the name of the file on the "
            f"model's page"
        )
    return fetched / file


def _fetch(name: str, kind: Literal["model", "dataset"], patterns: list[str], here: str) -> Path:
    import huggingface_hub as hub
    from huggingface_hub import errors

    ignored = OTHER_FOLDERS if kind == "model" else ["README.md"]
    try:
        if (size := _new_bytes(name, kind, patterns, ignored)) is not None:
            logger.info("downloading %s from the Hugging Face Hub%s", name, f", {size / 1e6:,.0f} MB" if size > 1e6 else "")
        return Path(hub.snapshot_download(name, repo_type=kind, allow_patterns=patterns, ignore_patterns=ignored))
    except errors.GatedRepoError as error:
        terms = f"the {kind} on the Hugging Face Hub has terms: accept them on its page and log in with `hf auth login`"
        raise LiuliError(f"{here}{terms}") from error
    except errors.RepositoryNotFoundError as error:
        missing = f"the Hugging Face Hub has no {kind} of that name (or it is private: log in with `hf auth login`)"
        raise LiuliError(f"{here}{missing}") from error
    except Exception as error:  # unreachable, offline, interrupted, not cached: the library's errors have no common class
        raise LiuliError(
            f"{here}the {kind} of that name could not be downloaded from the Hugging Face Hub ({first_line(error)}). If this "
            f"machine is offline, download its files on another one, copy them to a folder here, and give that folder"
        ) from error


def _new_bytes(name: str, kind: str, patterns: list[str], ignored: list[str]) -> int | None:
    """The size of the wanted files that are not in the cache yet, or have changed on the hub (0 if the hub does not say).
    None if there are none, or the hub cannot be asked."""
    import huggingface_hub as hub
    from huggingface_hub.utils import filter_repo_objects

    try:
        info: Any = hub.HfApi().repo_info(name, repo_type=kind, timeout=TIMEOUT, files_metadata=True)
    except Exception:  # `snapshot_download` is about to report it, or finds all in the cache
        return None
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    wanted = list(filter_repo_objects(sizes, allow_patterns=patterns, ignore_patterns=ignored))
    cached = {file: hub.try_to_load_from_cache(name, file, revision=info.sha, repo_type=kind) for file in wanted}
    new = [file for file, path in cached.items() if not isinstance(path, str)]
    return sum(sizes[file] for file in new) if new else None
