"""Recipes: several stages in one command."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
