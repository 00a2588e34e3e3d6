"""`tokenizer.json`, the layout of the `tokenizers` library. It contains a whole pipeline: normalizer, pre-tokenizer, model.

The library does not check a file, and with some files it panics or never ends. So it gets only those parts of the file that
Liuli uses, after a check of their fields (`pipeline_checks.py`). Parts that cannot be checked, such as an unknown regular
expression, are first tested in a process with limits (`trial.py`).
"""

import json
from pathlib import Path
from typing import Any

import tokenizers

from liuli.errors import REPAIR, LiuliError
from liuli.files import read_json
from liuli.tokens.encoders.library import library_errors, reason
from liuli.tokens.encoders.pipeline import pipeline_tokenizer
from liuli.tokens.formats.added_tokens import ConfiguredTokens
from liuli.tokens.formats.config import configured_begin, refuse_pattern, shown
from liuli.tokens.formats.pipeline_checks import check_pipeline
from liuli.tokens.tokenizer import Tokenizer

PARTS = ("version", "added_tokens", "normalizer", "pre_tokenizer", "decoder", "model")
MOST_BEGIN_TOKENS = 64
DEEPEST = 16  # levels of processors within processors
TRIAL_SECONDS = 20.0
TRIAL_MEMORY = 4 << 30  # bytes


def open_tokenizer_json(folder: Path, pattern: str | None) -> Tokenizer:
    """Opens `tokenizer.json`. Raises LiuliError and OSError."""
    path = folder / "tokenizer.json"
    refuse_pattern(path, pattern)
    content = read_json(path)
    model = content.get("model")
    if not isinstance(model, dict):
        raise LiuliError(f"{path} is broken: it has no model; {REPAIR}")
    model["dropout"] = None  # dropout is for training: with it, the ids of a text would be random
    foreign = check_pipeline(content, path)
    begin = _begin(content.get("post_processor"), path)
    used = json.dumps({name: content[name] for name in PARTS if name in content})
    if foreign:
        _try(used, foreign, path)
    with library_errors(f"{path} is broken"):
        backend = tokenizers.Tokenizer.from_str(used)
    configured = ConfiguredTokens.read(folder)
    configured.add_to(backend)
    begin = begin or configured_begin(folder, configured.names, backend.token_to_id)
    return pipeline_tokenizer(backend, path, begin, model.get("unk_token"), configured.names)


def _try(used: str, foreign: list[str], path: Path) -> None:
    """Raises LiuliError if the tokenizer fails or does not end on test texts."""
    from liuli.tokens.formats import trial  # imported only when needed, because the modules for processes load slowly
    from liuli.tokens.sandbox.process import SandboxedProcess, StoppedError

    process = SandboxedProcess(Path(trial.__file__), [tokenizers], TRIAL_MEMORY)
    try:
        found = process.ask({"json": used, "patterns": foreign}, TRIAL_SECONDS)
    except StoppedError as error:
        why = f"did not end within {TRIAL_SECONDS:g} s" if error.late else "crashed or took too much memory"
        raise LiuliError(f"{path} cannot be used: a test of its tokenizer {why}. {_cause(foreign)}") from error
    finally:
        process.close()
    if "error" in found:
        raise LiuliError(f"{path} is broken: {reason(found['error'])}. {_cause(foreign)}")


def _cause(foreign: list[str]) -> str:
    return (
        f"The cause may be this step or regular expression: {shown(foreign[0])}. Simplify it or remove it, or use another "
        f"tokenizer"
    )


def _begin(processor: Any, path: Path) -> list[int]:
    """Returns the ids that a post-processor puts before a text. Those that it puts after a text are not part of a prompt."""
    try:
        ids = _ids_in_front(processor, DEEPEST)
    except (LookupError, TypeError, ValueError) as error:
        problem = f"its post-processor does not give the ids of its tokens ({shown(processor)})"
        raise LiuliError(f"{path} is broken: {problem}; {REPAIR}") from error
    if len(ids) > MOST_BEGIN_TOKENS:
        raise LiuliError(
            f"{path}: its post-processor puts {len(ids):,} tokens before a text, but at most {MOST_BEGIN_TOKENS} are "
            f"supported; use another tokenizer"
        )
    return ids


def _ids_in_front(processor: Any, levels: int) -> list[int]:
    """Returns the ids of `_begin`. Raises LookupError, TypeError or ValueError if a field is missing or has the wrong type."""
    if processor is None:
        return []
    kind = processor["type"]
    ids: list[Any] = []
    if kind == "TemplateProcessing":
        for part in processor["single"]:
            if "SpecialToken" not in part:
                break
            ids += processor["special_tokens"][part["SpecialToken"]["id"]]["ids"]
    elif kind in ("BertProcessing", "RobertaProcessing"):
        ids.append(processor["cls"][1])
    elif kind == "Sequence":
        if levels == 0:
            raise ValueError("processors within processors")
        for inner in processor["processors"]:
            ids += _ids_in_front(inner, levels - 1)
    if not all(type(token_id) is int for token_id in ids):
        raise TypeError("an id is not a whole number")
    return ids
