"""How good a model is: its loss on a text, and its answers compared with a known truth."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
