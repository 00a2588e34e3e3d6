"""One file per layout that tokenizers come in. `detect.py` finds out which a folder holds."""
