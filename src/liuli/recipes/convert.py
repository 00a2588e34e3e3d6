"""Converts a model to a folder in Hugging Face's format, or to a GGUF file."""

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
from liuli.output_paths import check_new_file, parents_of
from liuli.tokens.formats.detect import find_tokenizer
from liuli.tokens.formats.files_to_gguf import tokenizer_metadata
from liuli.watch import Watch, unwatched

KEPT = ("tokenizer.", "general.")  # metadata that is copied from one GGUF file to another, except OWN
OWN = ("general.architecture", "general.file_type", "general.quantization_version", "general.alignment", "general.name")


def to_folder(model: Path, out: Path, dtype: torch.dtype, watch: Watch = unwatched) -> dict[str, Any]:
    """Writes a model as a folder in Hugging Face's format: the weights in `dtype`, the tokenizer, its chat template and its
    sampling settings. `watch` is called with what is being done.

    Returns:
        The model card, which is written to the folder too.

    Raises:
        LiuliError: the model cannot be read; see `check_new_folder`.
    """
    with new_folder(out) as part:
        decoder = _decoder(model)
        watch("writing the weights", 0, 0)
        write_decoder(decoder, part, dtype)
        copy_tokenizer_files(model, part, decoder.config.vocab_size)
        watch("hashing the models", 0, 0)
        hashes = {"parent": hash_model(model), "hash": hash_model(part)}
        card = {"stage": "converted"} | hashes | {"command": ["liuli", *sys.argv[1:]]}
        write_json(part / "liuli.json", card, indent=1)
    return card


def to_gguf(model: Path, out: Path, kind: str, name: str, watch: Watch = unwatched) -> dict[str, int]:
    """Writes a model as a GGUF file.

    Args:
        kind: how matrices are stored: one of `gguf_write.TYPES`.
        name: the model's name in the file.
        watch: is called with the number of tensors that are written, and the number of all.

    Returns:
        The number of tensors of each type.

    Raises:
        LiuliError: the model cannot be read; llama.cpp does not support the model or its tokenizer; see `check_new_file`.
    """
    check_new_file(out, ".gguf")
    decoder = _decoder(model)
    more = _metadata(model) if is_gguf(model) else _tokenizer_metadata(model, decoder.config.vocab_size)
    counts: list[dict[str, int]] = []
    try:
        with parents_of(out):
            write_whole(out, lambda part: counts.append(write_gguf(decoder, part, kind, more, name, watch)))
    except OSError as error:
        raise LiuliError(f"{out} cannot be written: {why(error)}") from error
    return counts[0]


def _decoder(model: Path) -> Decoder:
    """The model's decoder with the stored numbers. Matrices that a folder holds in 16 bits stay memory-mapped until they are
    written."""
    return read_decoder(model, dtype=torch.float32 if is_gguf(model) else None)


def _tokenizer_metadata(folder: Path, rows: int) -> dict[str, Any]:
    tokenizer = find_tokenizer(folder)
    if tokenizer is None:
        raise LiuliError(
            f"{folder} contains no tokenizer, and llama.cpp cannot use a model without one: add its tokenizer files"
        )
    return tokenizer_metadata(folder, tokenizer, rows)


def _metadata(path: Path) -> dict[str, Any]:
    """A GGUF file's metadata, without the shape of its model."""
    held = open_gguf(path).metadata
    kept = {key: value for key, value in held.items() if key.startswith(KEPT) and key not in OWN}
    return {key: value.texts() if isinstance(value, StringArray) else value for key, value in kept.items()}
