"""Plain text from files, folders, standard input and the hub."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
