"""Constraints: what may be generated next."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
