"""How `liuli agent` shows a run as it happens: thoughts, calls, observations, the answer.

The answer goes to standard output, alone if that is a pipe or a file; the steps before it go to standard error.
"""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.text import Text

from liuli.cli.output import Screen, say
from liuli.cli.work_progress import work_progress
from liuli.display import on_line
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.act.agent_run import AgentRun, AgentStep, Call
    from liuli.act.react import Event

LONGEST = 600  # characters of an observation that are shown; the record has all
MARGIN = 10  # columns of the names before the texts


class AgentView:
    """Shows runs.

    Args:
        explained: whether the probabilities of the actions are shown, and what the grammar removed.
        silent: whether nothing is shown.
    """

    def __init__(self, explained: bool, silent: bool = False):
        self._explained, self._silent = explained, silent
        self._screen = Screen(stderr=True)

    def show(self, run: "AgentRun", events: "Iterable[Event]") -> None:
        """Shows the events of a run as they come, and its answer."""
        from liuli.generate.record import StepRecord

        with work_progress("reading the question") as work:
            for event in events:
                if isinstance(event, StepRecord):
                    work.show(f"step {len(run.steps) + 1}: {counted(event.index + 1, 'token')}")
                elif not self._silent:
                    work.close()
                    self._show_step(run.steps[-1]) if event is run.steps[-1] else self._show_observation(run.steps[-1])
        if run.answer is not None and not self._silent:
            say(run.answer)

    def approve(self, call: "Call") -> bool:
        """Asks whether a call may be made."""
        import typer

        return typer.confirm(f"call {call.tool}({_arguments(call)})?", default=True, err=True)

    def _show_step(self, step: "AgentStep") -> None:
        if step.thought:
            self._line("thought", step.thought)
        if self._explained and step.chances:
            chances = ", ".join(
                f"{' or '.join(action or 'answer' for action in each.actions)} {each.probability:.0%}" for each in step.chances
            )
            self._line("", chances, "dim")
        if step.call is not None:
            self._line("call", f"{step.call.tool} {_arguments(step.call)}", "bold")
        if self._explained and step.removed is not None:
            self._line("", f"the grammar removed {step.removed:.1%} of the probability per token", "dim")

    def _show_observation(self, step: "AgentStep") -> None:
        assert step.observation is not None
        cut = len(step.read) - LONGEST
        more = f" … ({cut:,} more characters)" if cut > 0 else ""
        self._line("result" if step.observation.ok else "failed", step.read[:LONGEST] + more)

    def _line(self, name: str, text: str, style: str = "") -> None:
        self._screen.print_text(Text.assemble((name.ljust(MARGIN), "cyan"), (on_line(text), style)))


def _arguments(call: "Call") -> str:
    return call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments, ensure_ascii=False)
