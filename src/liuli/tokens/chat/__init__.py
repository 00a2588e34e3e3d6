"""Chat: messages to ids with a template, and the loss mask."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
