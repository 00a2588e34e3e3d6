"""The house itself: which package imports which, what starts fast, how much there is of everything."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "liuli"
ROOMS = ["tokens", "model", "generate", "world", "data", "evaluate", "learn", "inside", "act", "serve", "recipes", "cli"]
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
WORD_LISTS = {f"world/{name}.py" for name in ("en", "zh", "talk_en", "talk_zh", "lexicon")}
FILE_LINES, FUNCTION_LINES = 350, 60


def shown(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


each_file = pytest.mark.parametrize("path", FILES, ids=shown)


# Imports


def imported_rooms(path: Path) -> set[str]:
    """The packages that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(TREES[path]):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[1] for name in names if name.startswith("liuli.")}
    return found & set(ROOMS)


@each_file
def test_each_package_imports_only_packages_to_its_left(path):
    room = path.relative_to(SOURCE).parts[0]
    if room in ROOMS:
        assert imported_rooms(path) <= set(ROOMS[: ROOMS.index(room) + 1])
    elif path.name not in ("__init__.py", "__main__.py"):  # what all packages share stands on none of them
        assert not imported_rooms(path)


def test_every_package_has_its_place():
    assert {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"} - {"static"} <= set(ROOMS)


def module_name(path: Path) -> str:
    return ".".join(("liuli", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")


def imports_at_once(body: list[ast.stmt]) -> list[ast.Import | ast.ImportFrom]:
    """The imports outside of functions, those under `if TYPE_CHECKING` among them."""
    found: list[ast.Import | ast.ImportFrom] = []
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.append(node)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for part in ("body", "orelse", "finalbody", "handlers"):
                inner = getattr(node, part, [])
                found += imports_at_once(inner if isinstance(inner, list) else [inner])
    return found


def imported_modules(path: Path, modules: set[str]) -> set[str]:
    """The modules of this package that a file imports when it is imported itself. `from package import name` is the module
    package.name if there is one, and otherwise the package's `__init__`."""
    found = set()
    for node in imports_at_once(TREES[path].body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert not node.level, f"{shown(path)} has a relative import"
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part if part in modules else str(node.module) for part in parts}
    return found & modules


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The sets of modules that reach each other, by Tarjan's algorithm (SIAM J. Comput. 1, 1972); a module that imports itself
    is one too."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in order:
                visit(other)
            if other in stack:
                lowest[node] = min(lowest[node], lowest[other])
        if lowest[node] == order[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1 or node in graph[node]:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


def test_a_cycle_is_found():
    assert cycles({"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set(), "e": {"e"}}) == [["b", "c"], ["e"]]


def test_no_modules_import_each_other():
    """What an import under `if TYPE_CHECKING` names counts too: a reader has to know both files at once all the same."""
    modules = {module_name(path) for path in FILES}
    graph = {module_name(path): imported_modules(path, modules) for path in FILES}
    assert sum(map(len, graph.values())) > 300  # it is not empty by mistake
    assert not cycles(graph)


@pytest.mark.parametrize(
    "code",
    [
        "import liuli",
        "from liuli.cli.app import app",
        "from liuli import open_tokenizer",
        "from liuli.model import plan",
    ],
)
def test_pytorch_is_not_imported_before_it_is_needed(code):
    check = f"import sys; {code}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def test_the_tokenizer_of_a_folder_is_opened_without_the_reader_of_gguf_files(tiny_folder):
    """That imports NumPy, which takes 0.15 s."""
    code = "import sys, liuli; liuli.open_tokenizer(sys.argv[1]); print(sys.modules.keys() & {'gguf', 'numpy'})"
    shown = subprocess.run([sys.executable, "-c", code, str(tiny_folder)], capture_output=True, text=True, check=True)
    assert shown.stdout == "set()\n"


# Sizes and names


@each_file
def test_a_file_can_be_read_in_one_go(path):
    if shown(path) not in WORD_LISTS:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= FILE_LINES, f"{shown(path)} has {lines} lines; {FILE_LINES} are allowed"


def test_the_word_lists_are_where_this_test_expects_them():
    assert {name for name in WORD_LISTS if not (SOURCE / name).is_file()} == set()


class Definition(NamedTuple):
    name: str
    where: str
    lines: int


def definitions(kind: type | tuple[type, ...]) -> list[Definition]:
    """All classes or functions of the package, also those inside of others."""
    return [
        Definition(node.name, f"{shown(path)}:{node.lineno}", node.end_lineno - node.lineno + 1)
        for path in FILES
        for node in ast.walk(TREES[path])
        if isinstance(node, kind)
    ]  # fmt: skip


def test_no_function_is_longer_than_a_screen():
    """From `def` to its last line, parameters and docstring included."""
    functions = definitions((ast.FunctionDef, ast.AsyncFunctionDef))
    assert len(functions) > 500  # it is not empty by mistake
    assert [each for each in functions if each.lines > FUNCTION_LINES] == []


def test_no_two_classes_have_one_name():
    places = defaultdict(list)
    for each in definitions(ast.ClassDef):
        places[each.name].append(each.where)
    assert len(places) > 100
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def reads_weights(tree: ast.Module) -> bool:
    """Whether it has `.weight`, but for a method of that name, which no tensor has."""
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return any(isinstance(node, ast.Attribute) and node.attr == "weight" and node not in called for node in ast.walk(tree))


def test_only_the_layers_their_start_optimiser_and_folder_read_weights():
    """`.weight` is private to them, so that another class can take a Linear's place."""
    for path in FILES:
        if path.name not in ("linear.py", "start.py", "hugging_face.py", "optimizer.py", "context.py"):  # an attention weight
            assert not reads_weights(TREES[path]), path


def test_unknown_names_are_refused():
    import liuli

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = liuli.nothing


def test_type_checkers_know_that_the_package_is_typed():
    assert (SOURCE / "py.typed").is_file()
