"""Errors of the `tokenizers` library. It is written in Rust, raises plain `Exception`, and panics on files that it did not
expect: PyO3 raises a panic as an exception that is no `Exception`. Rust's own message about a panic still goes to standard
error; it cannot be kept from there without redirecting the whole process."""

from collections.abc import Iterator
from contextlib import contextmanager

from liuli.display import first_line, printable
from liuli.errors import LiuliError

FAILS_ON_TEXT = "this text cannot be cut, the tokenizers library fails on it"
LONGEST_REASON = 300  # characters


def is_library_error(error: BaseException) -> bool:
    """Whether the library's own code raised the error. Wrong types of arguments, which are bugs of ours, raise other errors."""
    return type(error) is Exception or type(error).__name__ == "PanicException"


def reason(error: BaseException | str) -> str:
    """What the library says, on one line, without what drives a terminal. It can quote a file's text of any length."""
    said = first_line(error) if isinstance(error, BaseException) else printable(error.strip().split("\n")[0])
    return said if len(said) <= LONGEST_REASON else said[:LONGEST_REASON] + "…"


@contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Raises what the library raises inside as a LiuliError: `what`, and the reason."""
    try:
        yield
    except BaseException as error:
        if not is_library_error(error):
            raise
        raise LiuliError(f"{what}: {reason(error)}") from error
