"""Encoders: how content is cut into ids, without special tokens."""
