"""Dialogues: messages, the layouts they come in, and the files that hold them."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
