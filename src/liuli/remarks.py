"""Remarks: messages for people about a file's setting that the library does not follow exactly. They are logged once per
process, to the logger `liuli.remarks`."""

import logging

logger = logging.getLogger(__name__)
_said: set[str] = set()


def remark(text: str) -> None:
    """Logs a remark unless this process has logged the same text before. The command line prints remarks."""
    if text not in _said:
        _said.add(text)
        logger.warning("%s", text)
