"""Data to weights: rows, and the training that reads them."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
