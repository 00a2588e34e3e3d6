"""Liuli 琉璃: a language model's whole life on your own machine, with the lid off.

import liuli
tokenizer = liuli.open_tokenizer("folder")
model = liuli.load("folder")
print(model.complete("Once upon a time", max_tokens=20, temperature=0))

All packages can be reached from here, such as `liuli.inside.compare`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from liuli.errors import LiuliError
from liuli.lazy import modules_of

if TYPE_CHECKING:
    from liuli.act.tool import tool
    from liuli.act.toolbox import Toolbox
    from liuli.generate.constraints.grammar import Grammar
    from liuli.generate.model import Model, load
    from liuli.tokens import Tokenizer, open_tokenizer

__version__ = "0.1.0"
__all__ = ["Grammar", "LiuliError", "Model", "Tokenizer", "Toolbox", "load", "open_tokenizer", "tool"]

HOMES = {
    "Grammar": "liuli.generate.constraints.grammar",
    "Model": "liuli.generate.model",
    "load": "liuli.generate.model",
    "Tokenizer": "liuli.tokens",
    "open_tokenizer": "liuli.tokens",
    "Toolbox": "liuli.act.toolbox",
    "tool": "liuli.act.tool",
}
_module = modules_of(__name__)


def __getattr__(name: str) -> Any:
    """PyTorch takes seconds to import: it comes with the first name that needs it."""
    return getattr(import_module(HOMES[name]), name) if name in HOMES else _module(name)
