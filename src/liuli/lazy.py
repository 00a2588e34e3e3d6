"""Packages whose modules are imported when they are first used."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType


def modules_of(package: str) -> Callable[[str], ModuleType]:
    """Returns the `__getattr__` of a package (PEP 562): `package.name` imports the package's module `name`.

    So `import liuli` is enough to use `liuli.inside.compare.compare`, and it does not import PyTorch.
    """

    def find(name: str) -> ModuleType:
        """Raises AttributeError if the package has no such module."""
        missing = AttributeError(f"module {package!r} has no attribute {name!r}")
        if name.startswith("_"):  # Python itself asks for such names
            raise missing
        module = f"{package}.{name}"
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            if error.name == module:
                raise missing from None
            raise  # the module is there, and one that it imports is not

    return find
