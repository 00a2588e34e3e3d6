"""What the library does differently from what a file asks, for people: each remark once, through the logger `liuli.remarks`."""

import logging

logger = logging.getLogger(__name__)
_said: set[str] = set()


def remark(text: str) -> None:
    """Logs a remark, unless this process has logged it before. The command line prints it."""
    if text not in _said:
        _said.add(text)
        logger.warning("%s", text)
