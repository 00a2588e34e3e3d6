"""`open_tokenizer`: detects the layout of a model's tokenizer files, and opens the tokenizer.

In: a folder with `tokenizer.json`, or `vocab.txt`, or `vocab.json` + `merges.txt`, or SentencePiece's `tokenizer.model`, or a
tiktoken rank file, and the configuration files next to it; or a GGUF file. Out: a `Tokenizer`. Each layout has its own file in
this package, which checks the files that it reads. So any error that is not a `LiuliError` is a bug of Liuli.
"""

from pathlib import Path

from liuli.display import why
from liuli.errors import LiuliError
from liuli.files import refuse_lfs_pointer
from liuli.hub import find_model, is_gguf
from liuli.tokens.formats.config import document_ends
from liuli.tokens.formats.patterns import check_name
from liuli.tokens.formats.sentencepiece import open_sentencepiece
from liuli.tokens.formats.tiktoken import looks_like_ranks, open_tiktoken
from liuli.tokens.formats.tokenizer_json import open_tokenizer_json
from liuli.tokens.formats.vocab_merges import open_vocab_and_merges
from liuli.tokens.formats.wordpiece import open_wordpiece
from liuli.tokens.tokenizer import Tokenizer

LAYOUTS = "tokenizer.json, vocab.txt, vocab.json + merges.txt, tokenizer.model (SentencePiece BPE), *.tiktoken"


def open_tokenizer(folder: str | Path, pattern: str | None = None) -> Tokenizer:
    """Opens the tokenizer of a model folder, a GGUF file, or a model on the Hugging Face Hub (`owner/model`).

    Args:
        pattern: the name of the pre-tokenization pattern (see `PATTERNS`). It is needed only for `vocab.json` and tiktoken
            files in a folder whose configuration does not name it.

    Raises:
        LiuliError: there is no such folder, it contains no tokenizer, a file is broken, or this kind of tokenizer is not
            supported.
    """
    found = find_tokenizer(find_model(folder), pattern)
    if found is None:
        advice = "give a GGUF file that has one" if is_gguf(Path(folder)) else f"add its tokenizer files ({LAYOUTS})"
        raise LiuliError(f"{folder} contains no tokenizer: {advice}")
    return found


def find_tokenizer(folder: Path, pattern: str | None = None) -> Tokenizer | None:
    """Opens the tokenizer of a folder or file that is known to exist (see `open_tokenizer`). Returns None if there is none."""
    if pattern is not None:
        check_name(pattern)
    try:
        found = _open_gguf(folder, pattern) if is_gguf(folder) else _open_layout(folder, pattern)
        if found is not None:
            size = found.vocab_size
            reason = f"the tokenizer's ids are only 0 to {size - 1}"
            found.leave_out_begin(lambda token_id: not 0 <= token_id < size, str(folder), reason)
            found.end = document_ends(folder, found.specials, found.names)
        return found
    except OSError as error:
        raise LiuliError(f"a tokenizer file in {folder} cannot be read: {why(error)}") from error


def _open_gguf(path: Path, pattern: str | None) -> Tokenizer | None:
    from liuli.tokens.formats.gguf import open_gguf_tokenizer  # takes 0.1 s to import, and most models are folders

    return open_gguf_tokenizer(path, pattern)


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
