"""The build hook: when it builds the drawing code, when it needs Node.js, and what it leaves behind if it cannot build."""

import importlib.util
import os
import shutil
import stat
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="needs the package hatchling")
ROOT = Path(__file__).resolve().parents[1]
NPM = """#!/bin/sh
echo "$@" >> ../calls
[ "$1" = run ] || exit 0
mkdir -p ../src/liuli/static && echo built > ../src/liuli/static/views.js
"""


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A project with sources to build. PATH leads to programs of its own."""
    (tmp_path / "ui" / "src").mkdir(parents=True)
    (tmp_path / "ui" / "package.json").write_text("{}")
    (tmp_path / "ui" / "src" / "main.ts").write_text("1")
    (tmp_path / "bin").mkdir()
    for name in ("sh", "mkdir"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("LIULI_SKIP_UI", raising=False)
    return tmp_path


@pytest.fixture
def hook(module, root):
    return module.DrawingCodeHook(str(root), {}, None, None, str(root), "wheel")


def add_program(root: Path, name: str, text: str) -> None:
    path = root / "bin" / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def add_node(root: Path, version: str = "v22.1.0") -> None:
    add_program(root, "node", f"#!/bin/sh\necho {version}\n")
    add_program(root, "npm", NPM)


def test_it_installs_from_the_lock_file_and_builds_once(hook, root):
    add_node(root)
    hook.initialize("standard", {})
    calls = root / "calls"
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["ci", "run"]
    calls.unlink()
    assert not hook.is_needed() and hook.dependencies() == []
    hook.initialize("editable", {})
    assert not calls.exists()


def test_it_builds_again_when_a_source_changes_but_not_when_its_time_does(hook, root):
    add_node(root)
    hook.initialize("standard", {})
    (root / "calls").unlink()
    source = root / "ui" / "src" / "main.ts"
    os.utime(source, (0, 0))
    (root / "ui" / "node_modules").mkdir()
    (root / "ui" / "node_modules" / "other.js").write_text("2")
    assert not hook.is_needed()
    source.write_text("3")
    assert hook.is_needed()


@pytest.mark.parametrize("version", [None, "v18.19.0", "v20.18.3", "broken"])
def test_node_is_downloaded_only_if_the_machine_has_none_that_is_new_enough(hook, module, root, version):
    if version is not None:
        add_node(root, version)
    assert hook.dependencies() == [module.NODE]
    add_node(root, "v20.19.0")
    assert hook.dependencies() == []


def test_it_can_be_skipped(hook, root, monkeypatch):
    monkeypatch.setenv("LIULI_SKIP_UI", "1")
    hook.initialize("standard", {})
    assert hook.dependencies() == [] and not (root / "src").exists()


def test_a_failed_build_leaves_no_older_drawing_code_and_the_package_installs(hook, root, capsys):
    add_node(root)
    add_program(root, "npm", "#!/bin/sh\nexit 3\n")
    hook.static.mkdir(parents=True)
    (hook.static / "views.js").write_text("older")
    hook.initialize("standard", {})
    assert not hook.static.exists()
    assert "without the drawing code" in capsys.readouterr().err
    assert hook.is_needed()


def test_without_sources_there_is_nothing_to_build(hook, root):
    shutil.rmtree(root / "ui")
    assert not hook.is_needed()
