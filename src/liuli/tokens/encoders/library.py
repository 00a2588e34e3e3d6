"""Errors of the `tokenizers` library. It is written in Rust, raises plain `Exception`, and panics on unexpected files. PyO3
raises a panic as an exception that is not an `Exception`. Rust also prints a message about a panic to standard error, which
could only be suppressed for the whole process."""

from collections.abc import Iterator
from contextlib import contextmanager

from liuli.display import first_line, printable
from liuli.errors import REPAIR, LiuliError

FAILS_ON_TEXT = "the tokenizers library failed on this text"
LONGEST_REASON = 300  # characters


def is_library_error(error: BaseException) -> bool:
    """Returns whether the library's own code raised the error. Arguments of wrong types, which are bugs of Liuli, raise other
    errors."""
    return type(error) is Exception or type(error).__name__ == "PanicException"


def reason(error: BaseException | str) -> str:
    """Returns the library's message on one line, printable, and shortened if it is long, because it can quote a file's text."""
    said = first_line(error) if isinstance(error, BaseException) else printable(error.strip().split("\n")[0])
    return said if len(said) <= LONGEST_REASON else said[:LONGEST_REASON] + "…"


@contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Converts errors of the library to LiuliErrors with the message `what`, the reason, and the advice `REPAIR`."""
    try:
        yield
    except BaseException as error:
        if not is_library_error(error):
            raise
        raise LiuliError(f"{what}: {reason(error)}; {REPAIR}") from error
