"""Liuli 琉璃: a language model's whole life on your own machine, with the lid off.

import liuli
tokenizer = liuli.open_tokenizer("folder")
model = liuli.load("folder")
print(model.complete("Once upon a time", max_tokens=20, temperature=0))
"""

from typing import TYPE_CHECKING, Any

from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.generate.model import Model, load
    from liuli.tokens import Tokenizer, open_tokenizer

__version__ = "0.1.0"
__all__ = ["LiuliError", "Model", "Tokenizer", "load", "open_tokenizer"]


def __getattr__(name: str) -> Any:
    """PyTorch takes seconds to import: it comes with the first name that needs it."""
    if name not in __all__:
        raise AttributeError(f"module 'liuli' has no attribute {name!r}")
    import importlib

    home = "liuli.generate.model" if name in ("load", "Model") else "liuli.tokens"
    return getattr(importlib.import_module(home), name)
