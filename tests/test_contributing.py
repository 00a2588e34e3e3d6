"""CONTRIBUTING.md names what is there: every file in its map, and files and functions that exist in its walks."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "liuli"
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MENTIONED = re.compile(r"`([\w./-]+\.(?:py|md|json))`(?: \(((?:`[\w.]+`(?:, )?)+)\))?")


def section(heading: str) -> str:
    """What stands between a heading and the next one."""
    _, found, rest = TEXT.partition(f"\n## {heading}\n")
    assert found, f"CONTRIBUTING.md has no section {heading!r}"
    return rest.split("\n## ")[0]


def mapped() -> list[str]:
    """The paths of the map, folders with / at the end, as its lines are indented."""
    block = section("The map").split("```text\n")[1].split("```")[0]
    paths: list[str] = []
    folders: list[str] = []
    for line in block.splitlines():
        if line.strip():
            name, description = line.split(maxsplit=1)
            depth = (len(line) - len(line.lstrip())) // 2
            assert description, line
            folders = folders[:depth]
            paths.append("".join([*folders, name]))
            if name.endswith("/"):
                folders.append(name)
    return paths


def there() -> set[str]:
    """All packages and files of the source, but for each `__init__.py`, which is its package, and what is built or compiled."""
    found = set()
    for path in SOURCE.rglob("*"):
        parts = path.relative_to(SOURCE).parts
        if "__pycache__" not in parts and parts[0] != "static" and path.name != "__init__.py":
            found.add("/".join(parts) + ("/" if path.is_dir() else ""))
    return found


def test_the_map_names_every_file():
    missing = sorted(there() - set(mapped()))
    assert not missing, f"add a line for each of these to the map of CONTRIBUTING.md: {', '.join(missing)}"


def test_every_file_of_the_map_exists():
    gone = sorted(set(mapped()) - there())
    assert not gone, f"the map of CONTRIBUTING.md names these, which do not exist: {', '.join(gone)}"


def test_the_map_names_nothing_twice():
    assert sorted(mapped()) == sorted(set(mapped()))


def names_in(path: Path) -> set[str]:
    """Functions and classes at the top of a file, and the methods of each class as `Class.method`."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


MENTIONS = [(path, names) for path, names in MENTIONED.findall(TEXT) if not path.startswith("__")]


@pytest.mark.parametrize(("path", "names"), MENTIONS, ids=[f"{path} {names}" for path, names in MENTIONS])
def test_files_and_functions_that_are_mentioned_exist(path, names):
    places = [base / path for base in (SOURCE, ROOT) if (base / path).is_file()]
    assert places or path == "config.json", f"CONTRIBUTING.md mentions {path}, which does not exist"
    wanted = re.findall(r"`([\w.]+)`", names)
    if wanted:
        missing = sorted(set(wanted) - names_in(places[0]))
        assert not missing, f"CONTRIBUTING.md mentions {', '.join(missing)} in {path}, which has no such function or class"


def test_each_walk_names_files_and_functions():
    walks = re.split(r"\n\*\*(?=One )", section("Eight paths through the code"))[1:]
    assert len(walks) == 8
    for walk in walks:
        assert len(re.findall(r"^\d\. `", walk, re.M)) >= 4
        assert sum(bool(names) for _, names in MENTIONED.findall(walk)) >= 3


def test_no_line_is_longer_than_a_screen():
    assert [line for line in TEXT.splitlines() if len(line) > 120] == []
