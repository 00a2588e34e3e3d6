"""The decoder: from token ids to logits. One implementation for several families of models."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
