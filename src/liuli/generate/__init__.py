"""Logits to text: sampling, stop strings, and an engine that runs many requests at once."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
