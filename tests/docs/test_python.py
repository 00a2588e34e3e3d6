"""`import liuli` reaches every package, and `python -m liuli` is the command."""

import subprocess
import sys

import pytest

import liuli as package


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


@pytest.mark.parametrize("path", ["data.dialogues.dialogues.Dialogues", "inside.compare.compare", "learn.step.loop.train"])
def test_import_liuli_reaches_every_module(path):
    """In a new process, in which no other import can have loaded the module."""
    assert python("-P", "-c", f"import liuli; print(liuli.{path}.__name__)").stdout.strip() == path.rpartition(".")[2]


def test_import_liuli_imports_none_of_them():
    code = "import liuli, sys; print([name for name in sys.modules if name.startswith('liuli.')])"
    assert python("-P", "-c", code).stdout.strip() == str(["liuli.display", "liuli.errors", "liuli.lazy"])


@pytest.mark.parametrize("path", ["nothing", "data.nothing", "inside.compare.nothing", "__wrapped__"])
def test_a_name_that_does_not_exist(path):
    with pytest.raises(AttributeError, match=path.rpartition(".")[2]):
        eval(f"package.{path}", {"package": package})


@pytest.mark.parametrize("options", [(), ("-P",)])
def test_python_m_liuli_is_the_command(options):
    done = python(*options, "-m", "liuli", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"liuli {package.__version__}\n", "")


def test_python_m_liuli_exits_as_the_command_does():
    done = python("-m", "liuli", "tokenize", "no-such-folder", "text")
    assert done.returncode == 2
    assert done.stderr.startswith("liuli: ") and done.stderr.count("\n") == 1
