"""What must never be unpickled."""

from pathlib import Path


class Bomb:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
