"""Adapters: LoRA and token rows, and PEFT's folder format."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
