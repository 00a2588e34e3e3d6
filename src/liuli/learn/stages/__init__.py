"""Stages of a model's life: what each learns from, and what it minimises."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
