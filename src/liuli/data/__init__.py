"""Text and dialogues: reading them, and the validation split."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
