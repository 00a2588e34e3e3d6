"""The main file of a sandboxed process: reads questions from standard input and writes answers, one JSON value per line.

`process.py` starts it as `python -I -S child.py ORDER`. With `-I` and `-S`, only the standard library is on `sys.path`: neither
the current folder, nor PYTHONPATH, nor any site-packages. So no file there can replace a module. ORDER is JSON and names the
modules that are loaded in addition, each from the same file as in the parent process. Its fields are `modules` (name to file,
in the order of loading), `program` (the file with the function `answer`) and `memory` (a limit in bytes).

This file imports only the standard library.
"""

import importlib.util
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

LARGEST_FILE = 1 << 20  # bytes; the only file that this process has open for writing is its standard error


def main() -> None:
    """Answers questions until standard input ends."""
    order = json.loads(sys.argv[1])
    for name, file in order["modules"].items():
        load(name, file)
    program = load("sandboxed_program", order["program"])
    limit(order["memory"])
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(program.answer(json.loads(line))), flush=True)


def load(name: str, file: str) -> Any:
    """Imports the module or package `name` from exactly this file."""
    folders = [str(Path(file).parent)] if Path(file).name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def limit(memory: int) -> None:
    """Limits the memory and file size of this process. On systems without such limits, only the parent's time limit remains."""
    with suppress(ImportError):
        import resource

        limits = (("RLIMIT_AS", memory), ("RLIMIT_FSIZE", LARGEST_FILE), ("RLIMIT_CORE", 0))
        for name, size in limits:
            with suppress(AttributeError, ValueError, OSError):
                resource.setrlimit(getattr(resource, name), (size, size))


if __name__ == "__main__":
    main()
