"""Constraints: what may be generated next."""
