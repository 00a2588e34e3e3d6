"""tiktoken's rank file: each line has the bytes of a piece in base64 and its rank, which is also its id. The file does not
contain the pre-tokenization pattern: `tokenizer_config.json`, `config.json` or the caller names it."""

import base64
import binascii
from pathlib import Path

from liuli.display import printable
from liuli.errors import REPAIR, LiuliError
from liuli.tokens.encoders.bpe import RankedEncoder
from liuli.tokens.encoders.library import FAILS_ON_TEXT, is_library_error, reason
from liuli.tokens.formats.added_tokens import ConfiguredTokens
from liuli.tokens.formats.config import LARGEST_ID, configured_begin, shown
from liuli.tokens.formats.patterns import pattern_of, splitter
from liuli.tokens.tokenizer import Tokenizer
from liuli.units import counted

MOST_DIGITS = len(str(LARGEST_ID))


def open_tiktoken(folder: Path, paths: list[Path], pattern: str | None) -> Tokenizer:
    """Opens the rank file in `paths`, a list that must have one path. Raises LiuliError and OSError."""
    names = [printable(path.name) for path in paths]
    if len(paths) > 1:
        raise LiuliError(f"{folder} contains {len(paths)} rank files ({', '.join(names)}): keep only one of them in the folder")
    where = str(folder / names[0])
    split = splitter(pattern_of(folder, pattern, names[0]))
    ranks, configured = _read_ranks(paths[0], where), ConfiguredTokens.read(folder)
    pieces = {rank: piece for piece, rank in ranks.items()}
    added = configured.merged([], lambda text: ranks.get(text.encode()), max(pieces) + 1)
    taken = next((token for token in added if pieces.get(token.id, token.text.encode()) != token.text.encode()), None)
    if taken is not None:
        raise LiuliError(
            f"{folder}: the added token {shown(taken.text)} has the id {taken.id}, which a piece of the vocabulary already "
            f"has: correct the id in the file that lists the token"
        )

    def cut(text: str) -> list[bytes]:
        try:
            return [chunk.encode() for chunk, _ in split.pre_tokenize_str(text)]
        except BaseException as error:
            if not is_library_error(error):
                raise
            raise LiuliError(f"{where}: {FAILS_ON_TEXT}: {reason(error)}") from error

    def symbols(chunk: bytes) -> list[bytes]:
        return [chunk[i : i + 1] for i in range(len(chunk))]

    encoder = RankedEncoder(
        ids=ranks,
        ranks=ranks,
        cut=cut,
        symbols=symbols,
        texts=pieces | {token.id: token.text.encode() for token in added},
        added=added,
        style="bytes",
        whole=True,
    )
    begin = configured_begin(folder, configured.names, {token.text: token.id for token in added}.get)
    return Tokenizer(encoder, "byte-level BPE", added, begin, names=configured.names)


def looks_like_ranks(path: Path) -> bool:
    """Returns whether the first line is that of a rank file. (Llama 3's rank file is named tokenizer.model, like
    SentencePiece's files.)"""
    with path.open("rb") as file:
        parts = file.readline(200).split()
    return len(parts) == 2 and parts[1].isdigit()


def _read_ranks(path: Path, where: str) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line:
            try:
                piece, rank = line.split()
                ranks[base64.b64decode(piece, validate=True)] = _rank(rank)
            except (ValueError, binascii.Error) as error:
                raise LiuliError(
                    f"{where}, line {number}: each line of a rank file must be a piece in base64 and its rank (0 to "
                    f"{LARGEST_ID:,}); {REPAIR}"
                ) from error
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        problem = f"no rank is given for {counted(len(missing), 'single byte')}, the first is {missing[0]}"
        raise LiuliError(f"{where} is broken: {problem}; {REPAIR}")
    if len(set(ranks.values())) < len(ranks):
        raise LiuliError(f"{where} is broken: two pieces have the same rank; {REPAIR}")
    return ranks


def _rank(digits: bytes) -> int:
    """Returns a rank. Raises ValueError if these digits are not one."""
    if not digits.isdigit() or len(digits) > MOST_DIGITS or int(digits) > LARGEST_ID:
        raise ValueError(f"a rank is a number from 0 to {LARGEST_ID}")
    return int(digits)
