"""Views of models in real numbers. Each view is one frozen dataclass with its own checks."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
