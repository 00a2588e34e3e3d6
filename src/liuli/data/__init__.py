"""Documents: text whose truth is known."""
