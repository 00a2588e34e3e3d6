"""Models on disk: folders in Hugging Face's format, and GGUF files."""
