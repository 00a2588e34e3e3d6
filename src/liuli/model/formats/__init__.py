"""Models on disk: Hugging Face folders."""
