"""Tools that come with Liuli. None of them is active unless it is named."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
