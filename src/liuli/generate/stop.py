"""Stop strings that may begin or end inside a token.

Text comes in token by token and is passed on at once, except an end that could still become a stop string. It is held back
until it is one or cannot become one. How the text is divided into pushes does not change the result.
"""

from collections.abc import Sequence

from liuli.errors import LiuliError


class StopStrings:
    """Attributes: found: the stop string that ended the text, or None."""

    def __init__(self, stops: str | Sequence[str]):
        stops = [stops] if isinstance(stops, str) else list(stops)
        if "" in stops:
            raise LiuliError("a stop string is empty, so every text would stop at once: remove it")
        self._stops = stops
        self._longest = max(map(len, stops), default=1) - 1  # of what can be held back
        self._held = ""
        self.found: str | None = None

    def push(self, text: str) -> str:
        """What may be shown now; nothing after a stop string was found."""
        if self.found is not None:
            return ""
        text = self._held + text
        # The stop that is complete first wins, as it would if characters came one by one; then the longer.
        ends = [(text.index(stop) + len(stop), -len(stop), stop) for stop in self._stops if stop in text]
        if ends:
            end, _, self.found = min(ends)
            self._held = ""
            return text[: end - len(self.found)]
        self._held = self._could_become_a_stop(text)
        return text[: len(text) - len(self._held)]

    def finish(self) -> str:
        """What was held back, when the text has ended."""
        held, self._held = self._held, ""
        return held

    def _could_become_a_stop(self, text: str) -> str:
        """The longest end of `text` that begins a stop string."""
        for start in range(max(0, len(text) - self._longest), len(text)):
            if any(stop.startswith(text[start:]) for stop in self._stops):
                return text[start:]
        return ""
