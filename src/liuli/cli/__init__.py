"""The `liuli` command: one file a group of commands. Each reads as a sentence and can answer in JSON."""
