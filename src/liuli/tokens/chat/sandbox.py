"""Renders chat templates. A model's template is untrusted, so it runs in Jinja's sandbox, inside a separate process with limits
of time, memory and output. Only Liuli's built-in templates (`templates.py`) run in this process.
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
LONGEST_MESSAGE = 500  # characters of a template's error message


class Renderer:
    """One template, ready to render.

    Args:
        template: Jinja, as in `tokenizer_config.json`.
        names: other variables that it can read (such as `bos_token`).
        today: the date for `strftime_now`, such as 2026-11-27; None: the current time.

    Raises:
        LiuliError: the template is too large, or not valid Jinja.
    """

    def __init__(self, template: str, names: dict[str, str], today: str | None = None):
        if len(template) > LARGEST:
            raise LiuliError(f"the chat template has {len(template):,} characters; at most {LARGEST:,} are read: shorten it")
        self.template, self._names, self._today = template, names, today
        self._process: SandboxedProcess | None = None
        if template not in OWN:
            self._process = SandboxedProcess(Path(render.__file__), [markupsafe, jinja2], MEMORY)
        self.render([])

    def render(self, conversations: Sequence[tuple[Sequence[Any], Sequence[Any], bool]]) -> list[str]:
        """Returns the text of each conversation: (messages, tools, whether the beginning of a reply is added).

        Raises:
            LiuliError: the template refuses the messages, fails, takes too long, or writes too much.
        """
        task = {"template": self.template, "names": self._names, "today": self._today, "conversations": list(conversations)}
        answer = render.answer(task) if self._process is None else self._ask(self._process, task)
        if "error" in answer:
            # The message is from the template, so it is untrusted text.
            said = printable(" ".join(answer["error"].split()))
            said = said if len(said) <= LONGEST_MESSAGE else said[:LONGEST_MESSAGE] + "…"
            refused = said.startswith(render.REFUSES)
            advice = "change the messages" if refused else "correct the template, or use another model"
            raise LiuliError(f"the chat template {said}; {advice}")
        return answer["texts"]

    def _ask(self, process: SandboxedProcess, task: dict[str, Any]) -> dict[str, Any]:
        try:
            return process.ask(task, SECONDS * max(1, len(task["conversations"])))
        except StoppedError as error:
            why = f"takes longer than {SECONDS:g} s for a conversation" if error.late else "takes too much memory"
            return {"error": f"{why}; it was stopped"}
