"""Liuli 琉璃: a language model's whole life on your own machine, with the lid off."""

from liuli.errors import LiuliError
