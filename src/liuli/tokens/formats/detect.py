"""`open_tokenizer`: finds out which layout of tokenizer files a model has, and opens it.

In: a folder with `tokenizer.json`, or `vocab.txt`, or `vocab.json` + `merges.txt`, or SentencePiece's `tokenizer.model`, or a
tiktoken rank file, and the configuration files next to it; or a GGUF file. Out: a `Tokenizer`. Each layout has a file in this
package, which checks what it reads. So any error that is not a `LiuliError` is a bug of this project.
"""

from pathlib import Path

from liuli.display import why
from liuli.errors import LiuliError
from liuli.files import refuse_lfs_pointer
from liuli.hub import find_model, is_gguf
from liuli.tokens.formats.config import document_ends
from liuli.tokens.formats.gguf import open_gguf_tokenizer
from liuli.tokens.formats.patterns import check_name
from liuli.tokens.formats.sentencepiece import open_sentencepiece
from liuli.tokens.formats.tiktoken import looks_like_ranks, open_tiktoken
from liuli.tokens.formats.tokenizer_json import open_tokenizer_json
from liuli.tokens.formats.vocab_merges import open_vocab_and_merges
from liuli.tokens.formats.wordpiece import open_wordpiece
from liuli.tokens.tokenizer import Tokenizer

LAYOUTS = "tokenizer.json, vocab.txt, vocab.json + merges.txt, tokenizer.model (SentencePiece BPE), *.tiktoken"


def open_tokenizer(folder: str | Path, pattern: str | None = None) -> Tokenizer:
    """Opens the tokenizer of a folder, a GGUF file, or a model on the hub (`owner/model`).

    Args:
        pattern: the name of the cutting pattern (see `PATTERNS`), for `vocab.json` and tiktoken files in a folder that does not
            name it.

    Raises:
        LiuliError: no such folder, no tokenizer in it, a broken file, or a kind that is not supported.
    """
    found = find_tokenizer(find_model(folder), pattern)
    if found is None:
        looked = "" if is_gguf(Path(folder)) else f"; looked for {LAYOUTS}"
        raise LiuliError(f"{folder} holds no tokenizer{looked}")
    return found


def find_tokenizer(folder: Path, pattern: str | None = None) -> Tokenizer | None:
    """As `open_tokenizer`, for a folder or file that is known to exist; None if it holds no tokenizer."""
    if pattern is not None:
        check_name(pattern)
    try:
        found = open_gguf_tokenizer(folder, pattern) if is_gguf(folder) else _open_layout(folder, pattern)
        if found is not None:
            size = found.vocab_size
            reason = f"which is not one of the tokenizer's ids, 0 to {size - 1}"
            found.leave_out_begin(lambda token_id: not 0 <= token_id < size, str(folder), reason)
            found.end = document_ends(folder, found.specials, found.names)
        return found
    except OSError as error:
        raise LiuliError(f"a tokenizer file in {folder} cannot be read: {why(error)}") from error


def _open_layout(folder: Path, pattern: str | None) -> Tokenizer | None:
    """Opens the first layout whose files are in the folder."""
    model_file = folder / "tokenizer.model"
    rank_files = sorted(path for path in folder.glob("*.tiktoken") if path.is_file())
    if model_file.is_file() and looks_like_ranks(model_file):
        rank_files.append(model_file)
    if (folder / "tokenizer.json").is_file():
        return open_tokenizer_json(folder, pattern)
    if (folder / "vocab.txt").is_file():
        return open_wordpiece(folder, pattern)
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return open_vocab_and_merges(folder, pattern)
    for path in [*rank_files, *([model_file] if model_file.is_file() else [])]:
        refuse_lfs_pointer(path)
    if rank_files:
        return open_tiktoken(folder, rank_files, pattern)
    if model_file.is_file():
        return open_sentencepiece(folder, pattern)
    return None
