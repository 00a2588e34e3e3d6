"""Runs code that reads files of unknown origin in a separate process with limits of memory and time."""
