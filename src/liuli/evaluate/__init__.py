"""How good a model is: its loss on a text, and its answers next to a truth that is known."""
