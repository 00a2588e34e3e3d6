"""One training step: objective, optimizer, loop."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
