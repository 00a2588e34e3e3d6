"""Logits to text: sampling, stop strings, and an engine that runs many requests at once."""
