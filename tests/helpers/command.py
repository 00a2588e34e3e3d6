"""Runs the `liuli` command in this process, as typed: a fixture for whoever imports it."""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from liuli.cli.app import main


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def liuli(monkeypatch, capsys) -> Callable[..., Result]:
    def run(*words: object, stdin: bytes = b"", columns: int = 120) -> Result:
        monkeypatch.setattr(sys, "argv", ["liuli", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setenv("COLUMNS", str(columns))
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run
