"""`open_tokenizer`: from the files in a folder to a `Tokenizer`, for every layout that models come in.

In: a folder with `tokenizer.json`, or `vocab.txt`, or `vocab.json` + `merges.txt`, or SentencePiece's `tokenizer.model`, or a
tiktoken rank file, and the configuration files beside it. Where a layout does not hold its own cutting pattern,
`tokenizer_config.json`, `config.json` or the caller names it; it is never guessed.
"""

import base64
import binascii
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.hub import find_folder
from liuli.tokens.encoders.bpe import RankedEncoder
from liuli.tokens.encoders.pipeline import PipelineEncoder, begin_of
from liuli.tokens.formats.sentencepiece import open_sentencepiece
from liuli.tokens.tokenizer import Added, Tokenizer

# The cutting patterns of https://github.com/openai/tiktoken (tiktoken_ext/openai_public.py) and of Qwen's tokenizer.
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "qwen": rf"{_LETTERS}|\p{{N}}|{_REST}",
    "llama3": rf"{_LETTERS}|\p{{N}}{{1,3}}|{_REST}",
}
PATTERN_OF_CLASS = {"GPT2Tokenizer": "gpt2", "Qwen2Tokenizer": "qwen", "QWenTokenizer": "qwen"}
PATTERN_OF_MODEL = {"gpt2": "gpt2", "qwen": "qwen", "qwen2": "qwen", "qwen3": "qwen"}
LAYOUTS = "tokenizer.json, vocab.txt, vocab.json + merges.txt, tokenizer.model (SentencePiece BPE), *.tiktoken"


def open_tokenizer(folder: str | Path, pattern: str | None = None) -> Tokenizer:
    """Opens the tokenizer in a folder, or of a model on the hub (`owner/model`).

    Args:
        pattern: the cutting pattern's name (see `PATTERNS`), for `vocab.json` and tiktoken files whose folder does
            not say it.

    Raises:
        LiuliError: no such folder, no tokenizer in it, a broken file, or a kind that is not supported.
    """
    found = find_tokenizer(find_folder(folder), pattern)
    if found is None:
        raise LiuliError(f"{folder} holds no tokenizer; looked for {LAYOUTS}")
    return found


def find_tokenizer(folder: Path, pattern: str | None = None) -> Tokenizer | None:
    """As `open_tokenizer`, for a folder that is known to exist; None where it holds no tokenizer."""
    found = _find(folder, pattern)
    if found is not None:
        found.end = _end(folder, found)
    return found


def read_end_ids(folder: Path) -> list[int]:
    """The end-of-text ids that `generation_config.json` names, else `config.json`; [] where neither does.

    Raises:
        LiuliError: a broken file, or an `eos_token_id` that is neither an id nor a list of ids.
    """
    for name in ("generation_config.json", "config.json"):
        found = read_json(folder / name).get("eos_token_id")
        if found is not None:
            ids: list[Any] = found if isinstance(found, list) else [found]
            if not all(type(id) is int for id in ids):
                raise LiuliError(f"{folder / name}: eos_token_id must be an id or a list of ids, not {found!r}")
            return ids
    return []


def _end(folder: Path, tokenizer: Tokenizer) -> list[int]:
    """The id that ends a document: of the token that `tokenizer_config.json` names, else the first that the model's own
    files name and the tokenizer has, else of the token that the layout always has, BERT's and SentencePiece's own."""
    specials = tokenizer.specials
    named = _text(read_json(folder / "tokenizer_config.json").get("eos_token"))
    if named in specials:
        return [specials[named]]
    known = [id for id in read_end_ids(folder) if 0 <= id < tokenizer.vocab_size]
    return (known + [specials[text] for text in ("[SEP]", "</s>", "<|endoftext|>") if text in specials])[:1]


def _find(folder: Path, pattern: str | None) -> Tokenizer | None:
    if pattern is not None and pattern not in PATTERNS:
        raise LiuliError(f"there is no cutting pattern {pattern!r}; known: {', '.join(PATTERNS)}")
    model_file = folder / "tokenizer.model"
    rank_files = sorted(path for path in folder.glob("*.tiktoken") if path.is_file())
    if model_file.is_file() and _looks_like_ranks(model_file):
        rank_files.append(model_file)
    try:
        if (folder / "tokenizer.json").is_file():
            return _open_json(folder, pattern)
        if (folder / "vocab.txt").is_file():
            return _open_wordpiece(folder, pattern)
        if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
            return _open_vocab_and_merges(folder, pattern)
        if rank_files:
            return _open_ranks(rank_files, folder, pattern)
        return _open_sentencepiece(model_file, folder, pattern) if model_file.is_file() else None
    except UnicodeDecodeError as error:
        raise LiuliError(f"a tokenizer file in {folder} is not UTF-8 text (byte {error.start})") from None
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        # Files from anywhere hold anything; checking every field of four formats would bury the reading of them.
        raise LiuliError(f"a tokenizer file in {folder} is broken: {type(error).__name__}: {_first_line(error)}") from error


def _open_json(folder: Path, pattern: str | None) -> Tokenizer:
    path = folder / "tokenizer.json"
    _refuse_pattern(path, pattern)
    content = read_json(path)
    model = content.get("model")
    if not isinstance(model, dict):
        raise LiuliError(f"{path} is broken: it has no model")
    model["dropout"] = None  # it is for training: a text would be cut otherwise each time
    try:
        backend = tokenizers.Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # the library raises nothing narrower
        raise LiuliError(f"{path} is broken: {_first_line(error)}") from None
    begin = begin_of(content.get("post_processor")) or _configured_begin(folder, backend.token_to_id)
    return _from_backend(backend, path, begin, model.get("unk_token"))


def _from_backend(backend: Any, where: Path, begin: list[int], unknown: str | None = None) -> Tokenizer:
    encoder = PipelineEncoder(backend, str(where))
    if unknown is not None and backend.token_to_id(unknown) is None:
        raise LiuliError(f"{where} is broken: its unknown token {unknown!r} is not in its vocabulary")
    kinds = {"words": "WordPiece", "bytes": "byte-level BPE", "spaced": "SentencePiece BPE", "plain": "characters"}
    return Tokenizer(encoder, kinds[encoder.spelling], encoder.added, begin, backend.token_to_id(unknown) if unknown else None)


def _open_wordpiece(folder: Path, pattern: str | None) -> Tokenizer:
    path, config = folder / "vocab.txt", read_json(folder / "tokenizer_config.json")
    _refuse_pattern(path, pattern)
    lines = path.read_text(encoding="utf-8").split("\n")
    vocab = {line.rstrip("\r"): id for id, line in enumerate(lines) if line or id < len(lines) - 1}
    names = [_text(config.get(f"{role}_token")) or f"[{role.upper()}]" for role in ("pad", "unk", "cls", "sep", "mask")]
    _, unknown, begin, *_ = names
    if unknown not in vocab:
        raise LiuliError(f"{path} is no BERT vocabulary: it has no line {unknown!r}")
    backend = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=unknown, max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(
        handle_chinese_chars=config.get("tokenize_chinese_chars") is not False,
        strip_accents=config.get("strip_accents"),
        lowercase=config.get("do_lower_case") is not False,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens([name for name in names if name in vocab])
    return _from_backend(backend, folder, [vocab[begin]] if begin in vocab else [], unknown)


def _open_vocab_and_merges(folder: Path, pattern: str | None) -> Tokenizer:
    name = _pattern_name(folder, pattern, "vocab.json")
    vocab = read_json(folder / "vocab.json")
    wrong = next((piece for piece, id in vocab.items() if type(id) is not int or id < 0), None)
    if wrong is not None:
        raise LiuliError(f"{folder / 'vocab.json'} is broken: the id of {wrong!r} is {vocab[wrong]!r}")
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    try:
        backend = tokenizers.Tokenizer(models.BPE(vocab, merges))  # pyright: ignore[reportArgumentType]
    except Exception as error:  # the library raises nothing narrower
        raise LiuliError(f"{folder}: vocab.json and merges.txt do not fit together: {_first_line(error)}") from None
    if name == "qwen":
        backend.normalizer = normalizers.NFC()
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([_split(name), spelled])
    backend.decoder = decoders.ByteLevel()
    added = sorted(_configured_added(folder), key=lambda token: token.id)
    if name == "gpt2" and not added and "<|endoftext|>" in vocab:
        added = [Added(vocab["<|endoftext|>"], "<|endoftext|>")]
    for token in added:
        content = tokenizers.AddedToken(token.text, lstrip=token.strip_left, rstrip=token.strip_right, normalized=False)
        backend.add_special_tokens([content]) if token.special else backend.add_tokens([content])
        if backend.token_to_id(token.text) != token.id:
            raise LiuliError(f"{folder}: the added token {token.text!r} cannot have the id {token.id}: ids must not leave gaps")
    return _from_backend(backend, folder, _configured_begin(folder, backend.token_to_id))


def _open_sentencepiece(path: Path, folder: Path, pattern: str | None) -> Tokenizer:
    _refuse_pattern(path, pattern)
    begin = read_json(folder / "tokenizer_config.json").get("add_bos_token") is not False
    return open_sentencepiece(path, begin, _configured_added(folder))


def _open_ranks(paths: list[Path], folder: Path, pattern: str | None) -> Tokenizer:
    if len(paths) > 1:
        raise LiuliError(f"{folder} holds {len(paths)} rank files ({', '.join(path.name for path in paths)}): leave one")
    split = _split(_pattern_name(folder, pattern, paths[0].name))
    ranks, added = _read_ranks(paths[0]), _configured_added(folder)
    taken = next((token for token in added if token.id in set(ranks.values())), None)
    if taken is not None:
        raise LiuliError(f"{folder}: the added token {taken.text!r} has the id {taken.id}, which a piece has already")
    encoder = RankedEncoder(
        ids=ranks,
        ranks=ranks,
        cut=lambda text: [chunk.encode() for chunk, _ in split.pre_tokenize_str(text)],
        symbols=lambda chunk: [chunk[i : i + 1] for i in range(len(chunk))],
        texts={id: piece for piece, id in ranks.items()} | {token.id: token.text.encode() for token in added},
        added=added,
        style="bytes",
        whole=True,
    )
    begin = _configured_begin(folder, {token.text: token.id for token in added}.get)
    return Tokenizer(encoder, "byte-level BPE", added, begin)


def _read_ranks(path: Path) -> dict[bytes, int]:
    ranks = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line:
            try:
                piece, rank = line.split()
                ranks[base64.b64decode(piece, validate=True)] = int(rank)
            except (ValueError, binascii.Error):
                raise LiuliError(f"{path}, line {number}: a rank file has a base64 piece and its rank on each line") from None
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise LiuliError(f"{path} is broken: {len(missing)} single bytes have no rank, the first is {missing[0]}")
    return ranks


def _looks_like_ranks(path: Path) -> bool:
    with path.open("rb") as file:
        parts = file.readline(200).split()
    return len(parts) == 2 and parts[1].isdigit()


def _pattern_name(folder: Path, pattern: str | None, layout: str) -> str:
    config = read_json(folder / "tokenizer_config.json")
    if config.get("add_prefix_space"):
        raise LiuliError(f"{folder / 'tokenizer_config.json'}: add_prefix_space is not supported for {layout}")
    tokenizer_class = str(config.get("tokenizer_class"))
    model_type = str(read_json(folder / "config.json").get("model_type"))
    stated = PATTERN_OF_CLASS.get(tokenizer_class.removesuffix("Fast")) or PATTERN_OF_MODEL.get(model_type)
    if stated and pattern and stated != pattern:
        raise LiuliError(f"{folder} says that its cutting pattern is {stated!r}: leave out --pattern {pattern}, which differs")
    found = stated or pattern
    if found is None:
        raise LiuliError(
            f"{folder}: {layout} does not say how text is cut before merging, nor does tokenizer_config.json or "
            f"config.json beside it; name the pattern with --pattern ({', '.join(PATTERNS)})"
        )
    return found


def _configured_added(folder: Path) -> list[Added]:
    """The tokens that `tokenizer_config.json` and `added_tokens.json` add to the vocabulary."""
    described = read_json(folder / "tokenizer_config.json").get("added_tokens_decoder", {})
    listed = read_json(folder / "added_tokens.json")
    try:
        added = [
            Added(int(id), token["content"], token.get("special", True), token.get("lstrip", False), token.get("rstrip", False))
            for id, token in described.items()
        ]
        known = {token.text for token in added}
        added += [Added(int(id), text) for text, id in listed.items() if text not in known]
        if any(token.id < 0 or not isinstance(token.text, str) or not token.text for token in added):
            raise ValueError("an id below 0, or no text")
        return added
    except (AttributeError, KeyError, TypeError, ValueError):
        raise LiuliError(f"{folder}: the added tokens in tokenizer_config.json or added_tokens.json are broken") from None


def _split(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated")


def _refuse_pattern(path: Path, pattern: str | None) -> None:
    if pattern is not None:
        raise LiuliError(f"{path} says by itself how text is cut: leave out --pattern {pattern}")


def _text(token: Any) -> str | None:
    """A token's text, which configurations give as a string or as an object with `content`."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]


def _configured_begin(folder: Path, id_of: Callable[[str], int | None]) -> list[int]:
    """The begin token, where `tokenizer_config.json` asks for one."""
    config = read_json(folder / "tokenizer_config.json")
    text = _text(config.get("bos_token"))
    if not config.get("add_bos_token") or text is None:
        return []
    id = id_of(text)
    if id is None:
        raise LiuliError(f"{folder / 'tokenizer_config.json'}: the begin token {text!r} is not in the vocabulary")
    return [id]
