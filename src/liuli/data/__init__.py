"""Text and dialogues: reading them, and the validation split."""
