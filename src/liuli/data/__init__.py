"""Text: where it comes from, which of it is held out, and a small world whose truth is known."""
