"""The rows that a training step reads, resumable at any row."""
