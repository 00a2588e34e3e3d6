"""Packages whose modules are imported when they are first used."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


def modules_of(package: str) -> Callable[[str], ModuleType]:
    """Returns the `__getattr__` of a package (PEP 562): `package.name` imports the package's module `name`.

    So `import liuli` is enough to use `liuli.inside.compare.compare`, and it does not import PyTorch.
    """

    def find(name: str) -> ModuleType:
        """Raises AttributeError if the package has no such module."""
        module = f"{package}.{name}"
        if name.startswith("_") or find_spec(module) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(module)

    return find
