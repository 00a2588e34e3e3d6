"""Tools that a model can call, agents that call them, and tables that a model joins."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
