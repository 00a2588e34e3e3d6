"""Chat: messages to ids with a template, and the loss mask."""
