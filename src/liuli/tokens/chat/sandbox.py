"""Renders chat templates. A template comes with a model, from anywhere, so it runs in Jinja's sandbox, inside a process of its
own that is ended at a limit of time, memory or output. Only the two templates of our own (`templates.py`) run in this process.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from liuli.display import printable
from liuli.errors import LiuliError
from liuli.tokens.chat import render
from liuli.tokens.chat.templates import OWN
from liuli.tokens.sandbox.process import SandboxedProcess, StoppedError

LARGEST = 256 << 10  # characters of a template
SECONDS = 5.0  # for one conversation
MEMORY = 1 << 30  # bytes of the process
LONGEST_MESSAGE = 500  # characters of what a template says that it refuses


class Renderer:
    """One template, ready to render.

    Args:
        template: Jinja, as in `tokenizer_config.json`.
        names: what else it can read (`bos_token` and the like).
        today: what `strftime_now` gives, as 2026-11-27; None: the clock.

    Raises:
        LiuliError: the template is too large, or not valid Jinja.
    """

    def __init__(self, template: str, names: dict[str, str], today: str | None = None):
        if len(template) > LARGEST:
            raise LiuliError(f"the chat template has {len(template):,} characters; at most {LARGEST:,} are read")
        self.template, self._names, self._today = template, names, today
        self._process: SandboxedProcess | None = None
        if template not in OWN:
            self._process = SandboxedProcess(Path(render.__file__), [markupsafe, jinja2], MEMORY)
        self.render([])

    def render(self, conversations: Sequence[tuple[Sequence[Any], Sequence[Any], bool]]) -> list[str]:
        """The text of each (messages, tools, whether the beginning of a reply is added).

        Raises:
            LiuliError: the template refuses the messages, fails, takes too long, or writes too much.
        """
        task = {"template": self.template, "names": self._names, "today": self._today, "conversations": list(conversations)}
        answer = render.answer(task) if self._process is None else self._ask(self._process, task)
        if "error" in answer:
            # The message is the template's own, so it is foreign text.
            said = printable(" ".join(answer["error"].split()))
            raise LiuliError(f"the chat template {said if len(said) <= LONGEST_MESSAGE else said[:LONGEST_MESSAGE] + '…'}")
        return answer["texts"]

    def _ask(self, process: SandboxedProcess, task: dict[str, Any]) -> dict[str, Any]:
        try:
            return process.ask(task, SECONDS * max(1, len(task["conversations"])))
        except StoppedError as error:
            why = f"takes longer than {SECONDS:g} s for a conversation" if error.late else "takes too much memory"
            return {"error": f"{why}; it was stopped"}
