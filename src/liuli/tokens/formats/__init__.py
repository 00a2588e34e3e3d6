"""One file per layout of tokenizer files. `detect.py` detects the layout of a folder."""
