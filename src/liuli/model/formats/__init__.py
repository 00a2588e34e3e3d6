"""Models on disk: folders in Hugging Face's format, and GGUF files."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
