"""What a user's mistake raises: one line that says what is wrong, where, and what to do."""


class LiuliError(Exception):
    """A mistake that its user can mend. The command line prints it and exits with code 2."""
