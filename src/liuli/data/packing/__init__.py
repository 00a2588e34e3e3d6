"""Packing: documents as ids, cut into pieces and packed into rows."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
