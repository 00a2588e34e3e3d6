"""Encoders: they convert content to ids."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
