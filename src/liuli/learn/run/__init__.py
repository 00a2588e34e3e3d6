"""A run's folder: checkpoints, metrics, predictions."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
