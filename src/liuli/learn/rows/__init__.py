"""The rows that a training step reads, resumable at any row."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
