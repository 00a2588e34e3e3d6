"""The files that lie next to a model's weights and belong to its tokenizer: copied, completed, compared."""

import shutil
from pathlib import Path

from liuli.errors import LiuliError
from liuli.files import read_json, write_json
from liuli.hub import TEMPLATES, is_gguf
from liuli.tokens import Tokenizer
from liuli.tokens.chat.folder_templates import SUFFIX
from liuli.tokens.formats.config import possible_generation
from liuli.tokens.formats.gguf_to_files import write_tokenizer_files
from liuli.tokens.formats.settings import GENERATION

PATTERNS = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja")  # of a model's folder, what may belong to its tokenizer
OTHERS = ("config.json", "liuli.json", "*.index.json", "adapter_config.json")


def copy_with_generation_config(source: Path, tokenizer: Tokenizer, folder: Path, rows: int) -> None:
    """Copies the tokenizer's files to a model's folder; adds `generation_config.json` if there is none.

    Args:
        rows: see `copy_tokenizer_files`.
    """
    copy_tokenizer_files(source, folder, rows)
    if not (folder / GENERATION).exists():
        ids = {"bos_token_id": tokenizer.begin[:1], "eos_token_id": tokenizer.end[:1]}
        write_json(folder / GENERATION, {name: value[0] for name, value in ids.items() if value})


def copy_tokenizer_files(source: Path, folder: Path, rows: int) -> None:
    """Copies the files of a model's or an adapter's folder that may belong to its tokenizer, and its chat templates. The
    tokenizer in a GGUF file is written as such files.

    Args:
        rows: of the model's embedding. Ids without one are left out of `generation_config.json`.
    """
    if is_gguf(source):
        write_tokenizer_files(source, folder)
        return
    for path in _tokenizer_files(source):
        (folder / path.relative_to(source)).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / path.relative_to(source))
    possible = possible_generation(source, rows)
    if possible != read_json(source / GENERATION):
        write_json(folder / GENERATION, possible)


def check_tokenizer_files(folder: Path, model: Path) -> None:
    """Raises LiuliError if a tokenizer file in `folder` is not the one that lies next to the model."""
    for path in _tokenizer_files(model):
        own = folder / path.relative_to(model)
        if own.name == GENERATION and not own.exists():
            continue
        if not own.is_file() or own.read_bytes() != path.read_bytes():
            raise LiuliError(f"{own} differs from the file that the run was trained with: copy it from {model}")


def _tokenizer_files(folder: Path) -> list[Path]:
    paths = [path for pattern in (*PATTERNS, f"{TEMPLATES}/*{SUFFIX}") for path in sorted(folder.glob(pattern))]
    return [path for path in paths if not any(path.match(other) for other in OTHERS)]
