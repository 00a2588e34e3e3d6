"""Tokenizers on disk: one module per file layout."""
