"""Texts of many shapes, written in many formats, and read back."""

import gzip
import json
import random
from functools import cache

import pyarrow as pa

from liuli.data.text.sources import Document, Sources

LONG = "".join(f"Paragraph {i} of a long text, with a few words more.\n\n" for i in range(1000))  # 54 kB
SHAPES = ["paragraphs", "crlf", "lines", "sentences", "han", "letters", "one letter", "period", "short lines", "mixed"]


@cache
def text_of(shape: str, size: int, seed: int) -> bytes:
    """A text of about `size` bytes that can be cut at ends of that shape."""
    draw = random.Random(seed)

    def words(count: int) -> str:
        return " ".join("".join(draw.choices("abcdefgh金木水火土", k=draw.randint(1, 8))) for _ in range(count))

    def piece() -> str:
        match shape:
            case "paragraphs":
                return words(draw.randint(5, 200)) + ".\n\n"
            case "crlf":
                return words(draw.randint(5, 200)) + "\r\n    \t\r\n　　"
            case "lines":
                return words(draw.randint(1, 50)) + "\n"
            case "sentences":
                return words(draw.randint(1, 50)) + draw.choice(["。", "！", ". ", "? "])
            case "han":
                return "".join(draw.choices("金木水火土日月山川", k=1000))
            case "letters":
                return "".join(draw.choices("abcdef", k=1000))
            case "one letter":
                return "a" * 1000
            case "period":
                return "the same paragraph again and again\n\n" * 20
            case "short lines":
                return "a\n" * 500
            case _:
                return text_of(draw.choice(SHAPES[:-1]), draw.randint(1, 30_000), draw.randrange(99)).decode()

    pieces, length = [], 0
    while length < size:
        pieces.append(piece().encode())
        length += len(pieces[-1])
    return b"".join(pieces)


def write(path, content: str | bytes):
    """Writes it, compressed as the name says."""
    data = content.encode() if isinstance(content, str) else content
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = pa.compress(data, "zstd", asbytes=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def jsonl(*records: object) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def documents(*names, **settings) -> list[Document]:
    return list(Sources([str(name) for name in names], **settings).documents())


def texts(*names, **settings) -> list[str]:
    """Whole documents, their parts joined and checked."""
    whole: list[str] = []
    before = None
    for document in documents(*names, **settings):
        if before and not before.last:
            assert (document.number, document.part) == (before.number, before.part + 1)
            whole[-1] += document.text
        else:
            assert document.part == 0
            whole.append(document.text)
        before = document
    assert before is None or before.last
    return whole
