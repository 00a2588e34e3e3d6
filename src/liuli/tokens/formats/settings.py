"""Reads the settings that belong to a model: special tokens, chat template, sampling.

In: a model folder or a GGUF file, and the name of one of the JSON files in a folder. Out: the object in that file. For a GGUF
file, the object is created from the metadata.
"""

from pathlib import Path
from typing import Any

from liuli.files import read_json
from liuli.hub import is_gguf

TOKENIZER, GENERATION = "tokenizer_config.json", "generation_config.json"


def read_settings(model: Path, name: str) -> dict[str, Any]:
    """Returns the object in the folder's file with this name, or the same object created from a GGUF file's metadata; {} if
    there is none.

    Raises:
        LiuliError: the file is broken.
    """
    if not is_gguf(model):
        return read_json(model / name)
    from liuli.tokens.formats.gguf_to_settings import settings_of  # takes 0.1 s to import, and most models are folders

    return settings_of(model).get(name, {})
