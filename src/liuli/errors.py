"""What a user's mistake raises: one line that says what is wrong, where, and what to do."""

from liuli.display import on_line

REPAIR = "correct the file, or download it again"  # what to do about a broken file


class LiuliError(Exception):
    """A mistake that its user can fix. The command line prints it and exits with code 2.

    A message often quotes a file, a model or a server. It is cleaned here, so that it stays on one line and cannot drive a
    terminal, whoever prints it: the command line, a notebook or somebody else's program.
    """

    def __init__(self, message: str):
        super().__init__(on_line(message))
