"""Lines that are typed at a terminal. A paste of several lines is read as one line, with its line breaks.

A terminal that is asked to ("bracketed paste") puts ESC [200~ and ESC [201~ around a paste. GNU readline asks for it and
collects the paste by itself. libedit, which some builds of Python have instead (on macOS, for example), does not: here it
is made to type a mark for each of the two, and lines are read until the closing mark.
"""

import os

from liuli.cli.output import bracket_pastes

# For libedit: what each sequence types. They are seen while a message is typed, but are not part of it. One character each,
# because libedit holds back the rest of a longer text until the next key.
MARKS = {"\\e[200~": "❲", "\\e[201~": "❳"}
OPEN, CLOSE = MARKS.values()


class LineEditor:
    """Reads lines with readline or libedit, which edit them and recall earlier ones."""

    def __init__(self) -> None:
        import readline  # only at a terminal: it may write to standard output as soon as it is imported

        self._readline = readline
        self._marked = "libedit" in (readline.__doc__ or "") and os.environ.get("TERM") != "dumb"
        if self._marked:
            for sequence, mark in MARKS.items():
                readline.parse_and_bind(f'bind -s "{sequence}" "{mark}"')
        else:  # Python has switched it off, even if the user's inputrc asks for it
            readline.parse_and_bind("set enable-bracketed-paste on")

    def read(self, prompt: str, begun: str = "") -> str:
        """The next line, or several that were pasted together.

        Args:
            begun: what the line holds at first. It must not drive the terminal.

        Raises:
            EOFError: the input has ended. UnicodeDecodeError: the line is not UTF-8.
        """
        self._readline.set_startup_hook(lambda: self._readline.insert_text(begun))
        try:
            text = self._typed(prompt)
        finally:
            self._readline.set_startup_hook(None)
        if not self._marked:
            return text
        while text.count(OPEN) > text.count(CLOSE):
            text += "\n" + self._typed("… ")
        return text.replace(OPEN, "").replace(CLOSE, "")

    def _typed(self, prompt: str) -> str:
        if not self._marked:
            return input(prompt)
        bracket_pastes(True)
        try:
            return input(prompt)
        finally:
            bracket_pastes(False)
