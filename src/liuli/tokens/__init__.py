"""Tokenizers: text to token ids and back, with every step shown. This package does not depend on models."""

from liuli.lazy import modules_of
from liuli.tokens.formats.detect import open_tokenizer
from liuli.tokens.tokenizer import TextStream, Token, Tokenizer

__getattr__ = modules_of(__name__)
__all__ = ["TextStream", "Token", "Tokenizer", "open_tokenizer"]
