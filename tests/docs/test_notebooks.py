"""The example notebooks: every code cell runs, in order, and what a cell shows at its end can be shown in a notebook."""

import ast
import json

import pytest
from helpers.documented import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def code_cells(notebook) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_cell(source: str, names: dict):
    """Runs a cell. Returns the value of its last expression, as a notebook does; None if it ends with something else."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def test_there_are_four():
    assert len(NOTEBOOKS) == 4


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(notebook, begun_folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "liuli-begin").symlink_to(begun_folder)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    shown = [run_cell(source, names) for source in code_cells(notebook)]
    shown = [value for value in shown if value is not None]
    assert shown and all("<iframe" in value._repr_html_() or "not built" in value._repr_html_() for value in shown)
    assert capsys.readouterr().out.count("\n") >= 3


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_stored(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
