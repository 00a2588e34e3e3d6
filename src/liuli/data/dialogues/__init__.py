"""Dialogues: messages, the layouts they come in, and the files that hold them."""
