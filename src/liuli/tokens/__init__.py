"""Text to token ids and back, with every cut explained. Knows nothing of models."""

from liuli.tokens.formats.detect import open_tokenizer
from liuli.tokens.tokenizer import TextStream, Token, Tokenizer

__all__ = ["TextStream", "Token", "Tokenizer", "open_tokenizer"]
