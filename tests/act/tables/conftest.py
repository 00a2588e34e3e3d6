"""A database with room for a few files, and tables written as files."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from liuli.act.tables.database import TableDatabase
from liuli.act.tables.open import open_tables
from liuli.act.tables.table import Table
from liuli.output_paths import part_of

FILES = tuple(f"{name}.{suffix}" for name in "abc" for suffix in ("csv", "tsv", "json", "jsonl", "parquet"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[TableDatabase]:
    """It may read a.csv, b.json, … in the test's folder, and write out.csv, …."""
    outputs = [part_of(tmp_path / f"out.{suffix}") for suffix in ("csv", "json", "jsonl", "parquet")]
    with TableDatabase([*(tmp_path / name for name in FILES), *outputs]) as found:
        yield found


@pytest.fixture
def opened(database: TableDatabase, tmp_path: Path) -> Callable[..., list[Table]]:
    """Writes contents to files, and opens these as tables. Contents that are no text or bytes are written as JSON."""

    def write_and_open(**contents: Any) -> list[Table]:
        paths = []
        for name, content in contents.items():
            paths.append(tmp_path / ".".join(name.rsplit("_", 1)))
            if isinstance(content, bytes):
                paths[-1].write_bytes(content)
            else:
                text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
                paths[-1].write_text(text, encoding="utf-8")
        return open_tables(database, paths)

    return write_and_open
