"""Errors of the `tokenizers` library. It is written in Rust, raises plain `Exception`, and panics on files that it did not
expect: PyO3 raises a panic as an exception that is no `Exception`."""

from collections.abc import Iterator
from contextlib import contextmanager

from liuli.display import first_line
from liuli.errors import LiuliError


@contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Raises what the library raises as a LiuliError: `what`, and the reason."""
    try:
        yield
    except BaseException as error:
        if not is_of_library(error):
            raise
        raise LiuliError(f"{what}: {first_line(error)}") from error


def is_of_library(error: BaseException) -> bool:
    """Whether the library's own code raised the error. Wrong types of arguments, which are our bugs, raise others."""
    return type(error) is Exception or type(error).__name__ == "PanicException"
