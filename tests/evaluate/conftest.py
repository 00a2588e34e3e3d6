"""The worlds that these tests share."""

from helpers.worlds import both, large  # noqa: F401
