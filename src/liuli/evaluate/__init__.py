"""How good a model is: its loss on a text, and its answers compared with a known truth."""
