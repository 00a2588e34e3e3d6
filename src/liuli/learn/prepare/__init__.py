"""What is fixed before the first step."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
