"""One training step: objective, optimizer, loop."""
