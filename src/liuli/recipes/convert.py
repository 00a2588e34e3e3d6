"""A model in another format: a folder in Hugging Face's, or a GGUF file."""

import sys
from pathlib import Path
from typing import Any

import torch

from liuli.display import why
from liuli.errors import LiuliError
from liuli.files import new_folder, write_json, write_whole
from liuli.gguf_file import StringArray, open_gguf
from liuli.hub import is_gguf
from liuli.learn.prepare.tokenizer_files import copy_tokenizer_files
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import hash_model, read_decoder
from liuli.model.formats.gguf_write import write_gguf
from liuli.model.formats.hugging_face import write_decoder
from liuli.tokens.formats.detect import find_tokenizer
from liuli.tokens.formats.files_to_gguf import tokenizer_metadata

KEPT = ("tokenizer.", "general.")  # metadata that one GGUF file takes from another, except what follows
OWN = ("general.architecture", "general.file_type", "general.quantization_version", "general.alignment", "general.name")


def to_folder(model: Path, out: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Writes a model as a folder in Hugging Face's format: weights in `dtype`, the tokenizer, its chat template and how it
    wants to be sampled.

    Returns:
        The model card that is written beside it.

    Raises:
        LiuliError: the model cannot be read; `out` is there already and not empty.
    """
    with new_folder(out) as part:
        decoder = _decoder(model)
        write_decoder(decoder, part, dtype)
        copy_tokenizer_files(model, part, decoder.config.vocab_size)
        hashes = {"parent": hash_model(model), "hash": hash_model(part)}
        card = {"stage": "converted"} | hashes | {"command": ["liuli", *sys.argv[1:]]}
        write_json(part / "liuli.json", card, indent=1)
    return card


def to_gguf(model: Path, out: Path, kind: str, name: str) -> dict[str, int]:
    """Writes a model as a GGUF file.

    Args:
        kind: of `gguf_write.TYPES`.
        name: what the file calls the model.

    Returns:
        How many tensors there are of each type.

    Raises:
        LiuliError: the model cannot be read, or llama.cpp cannot compute it or cut texts as it does; `out` is there already.
    """
    if out.suffix.lower() != ".gguf":
        raise LiuliError(f"{out}: the name of a GGUF file ends with .gguf")
    if out.exists():
        raise LiuliError(f"{out} exists already: name a new file")
    if not out.parent.is_dir():
        raise LiuliError(f"there is no folder {out.parent}")
    decoder = _decoder(model)
    more = _metadata(model) if is_gguf(model) else _tokenizer_metadata(model, decoder.config.vocab_size)
    counts: list[dict[str, int]] = []
    try:
        write_whole(out, lambda part: counts.append(write_gguf(decoder, part, kind, more, name)))
    except OSError as error:
        raise LiuliError(f"{out} cannot be written: {why(error)}") from error
    return counts[0]


def _decoder(model: Path) -> Decoder:
    """With the numbers as the model stores them: what a folder holds in 16 bits stays mapped, until it is written."""
    return read_decoder(model, dtype=torch.float32 if is_gguf(model) else None)


def _tokenizer_metadata(folder: Path, rows: int) -> dict[str, Any]:
    tokenizer = find_tokenizer(folder)
    if tokenizer is None:
        raise LiuliError(f"{folder} holds no tokenizer, without which llama.cpp cannot use a model")
    return tokenizer_metadata(folder, tokenizer, rows)


def _metadata(path: Path) -> dict[str, Any]:
    """What a file says besides the shape of its model."""
    held = open_gguf(path).metadata
    kept = {key: value for key, value in held.items() if key.startswith(KEPT) and key not in OWN}
    return {key: value.texts() if isinstance(value, StringArray) else value for key, value in kept.items()}
