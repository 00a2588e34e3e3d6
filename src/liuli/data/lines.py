"""JSON Lines as a file: an object a line."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from liuli.data.files import why
from liuli.errors import LiuliError


def write_json_lines(records: Iterable[dict[str, Any]], path: Path) -> int:
    """Writes beside `path`, and replaces it when all is written; whatever stops it before leaves nothing. Gives how many
    there were.

    Raises:
        LiuliError: it cannot be written.
    """
    count, beside = 0, path.with_name(f".{path.name}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
                count += 1
        os.replace(beside, path)
    except OSError as error:
        raise LiuliError(f"{path} cannot be written: {why(error)}") from None
    finally:
        with suppress(OSError):
            beside.unlink()
    return count
