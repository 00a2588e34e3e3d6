"""The house itself: which room imports which, what starts fast, how much there is."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "liuli"
ROOMS = ["tokens", "model", "generate", "world", "data", "evaluate", "learn", "inside", "act", "serve", "recipes", "cli"]
FILES = sorted(SOURCE.rglob("*.py"))


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[1] for name in names if name.startswith("liuli.")}
    return found & set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_each_room_imports_only_rooms_to_its_left(path):
    room = path.relative_to(SOURCE).parts[0]
    if room in ROOMS:
        assert imported_rooms(path) <= set(ROOMS[: ROOMS.index(room) + 1])
    elif path.name != "__init__.py":  # what all rooms share stands on none of them
        assert not imported_rooms(path)


@pytest.mark.parametrize(
    "code",
    ["import liuli", "from liuli.cli.app import app", "from liuli import open_tokenizer", "from liuli.model import plan"],
)
def test_pytorch_is_not_imported_before_it_is_needed(code):
    check = f"import sys; {code}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def test_only_the_layers_their_start_optimiser_and_folder_read_weights():
    """`.weight` is private to them, so that another class can take a Linear's place."""
    for path in FILES:
        if path.name not in ("linear.py", "start.py", "folder.py", "optim.py"):
            assert not any(
                isinstance(node, ast.Attribute) and node.attr == "weight" for node in ast.walk(ast.parse(path.read_text()))
            ), path


def test_unknown_names_are_refused():
    import liuli

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = liuli.nothing
