"""Between text and its bytes: every text is UTF-8, without NUL and without lone surrogates."""

import codecs
from contextlib import suppress

from liuli.data.records.problem import Problem

UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
UTF16 = Problem("UTF-16, not UTF-8", advice="convert it with iconv -f UTF-16 -t UTF-8")


def encode_text(text: str) -> bytes | Problem:
    """The text in UTF-8, or what in it is not allowed in a text."""
    if "\0" in text:
        return Problem("a NUL character in the text", f"character {text.index(chr(0)) + 1:,}", "remove it")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x} at character {error.start + 1:,}"
        return Problem("a lone surrogate in the text", half, "write the whole pair, or remove it")


def utf8_problem(data: bytes, error: UnicodeDecodeError, offset: int = 0, ended: bool = True) -> Problem:
    """Why bytes cannot be decoded, and in which encoding they may be.

    Args:
        data: the bytes in which decoding failed with `error`.
        offset: how many bytes of the file came before `data`.
        ended: no bytes come after `data`.
    """
    detail = f"byte {offset + error.start + 1:,} is 0x{data[error.start]:02X}"
    if not offset and data.startswith(UTF16_MARKS):
        return UTF16
    with suppress(UnicodeDecodeError):
        if error.reason != "unexpected end of data":  # UTF-8 that was cut off
            codecs.getincrementaldecoder("gb18030")().decode(data, ended)
            return Problem("not UTF-8 but perhaps GB18030", detail, "convert it with iconv -f GB18030 -t UTF-8")
    return Problem("not UTF-8", detail, "convert it to UTF-8, or remove it")
