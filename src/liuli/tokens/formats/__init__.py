"""One file per layout of tokenizer files. `detect.py` detects the layout of a folder."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
