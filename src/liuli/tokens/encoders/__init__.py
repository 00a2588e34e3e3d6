"""Encoders: they convert content to ids."""
