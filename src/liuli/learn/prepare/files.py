"""The files that a run was trained on: described when it starts, compared when it is resumed."""

from collections.abc import Iterable
from typing import Any

from liuli.data.records.source_files import SourceFile
from liuli.learn.run.state import file_hash
from liuli.units import counted


def described(files: Iterable[SourceFile]) -> list[dict[str, Any]]:
    """Name, size and hash of every file."""
    return [{"name": file.name, "bytes": file.stamp[0], "sha256": file_hash(file.path)} for file in files]


def differing_files(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[str]:
    """The differences, in words. The places of the files do not matter."""
    if [file["sha256"] for file in before] == [file["sha256"] for file in now]:
        return []
    if len(before) != len(now):
        return [f"the data was in {counted(len(before), 'file')} and is in {len(now):,} now"]
    return [
        f"{new['name']} ({new['bytes']:,} bytes) differs from {old['name']} ({old['bytes']:,} bytes), which the run was "
        f"trained on"
        for old, new in zip(before, now, strict=True)
        if old["sha256"] != new["sha256"]
    ]
