"""Adapters: LoRA and token rows, and PEFT's folder format."""
