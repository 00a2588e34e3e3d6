"""Chat templates: from messages to one text, as Jinja says it.

A template comes with a model, from anywhere. So it runs in Jinja's sandbox, within a process of its own that has limits of
time, memory and output and is ended when they are passed: a loop can be stopped in no other way. `python -m
liuli.tokens.chat.templates` is that process; it reads JSON lines and writes them. Only this file's own two templates run here.
"""

import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, lru_cache
from typing import IO, Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from liuli.errors import LiuliError

LARGEST = 256 << 10  # characters of a template
LONGEST = 8 << 20  # characters that it may write
SECONDS, STARTING = 5.0, 60.0  # for one conversation, for the process to begin
MEMORY = 1 << 30  # bytes of the process

# ChatML, with tools as Hermes and Qwen write them: what models trained here get.
CHATML = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- 'These tools can be called, each described by a JSON object on a line:' }}
    {%- for tool in tools %}
        {{- '\\n' + tool | tojson }}
    {%- endfor %}
    {{- '\\nTo call one, write <tool_call>, a JSON object with its "name" and "arguments", and </tool_call>.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user\\n' if loop.first or loop.previtem.role != 'tool' else '\\n' }}
        {{- '<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {{- '<|im_end|>\\n' if loop.last or loop.nextitem.role != 'tool' }}
    {%- elif not (tools and loop.first and message.role == 'system') %}
        {{- '<|im_start|>' + message.role + '\\n' + (message.content or '') }}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n' if message.content or not loop.first }}
            {{- '<tool_call>\\n' }}
            {{- {'name': call.function.name, 'arguments': call.function.arguments} | tojson }}
            {{- '\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# The articles' form for models with BERT's vocabulary: a turn ends at [SEP], whoever speaks.
BERT = """\
{{- '[CLS]' }}
{%- for message in messages %}
    {%- if message.role == 'tool' or message.tool_calls or tools %}
        {{- raise_exception('the form [CLS] … [SEP] has no place for tools') }}
    {%- endif %}
    {{- message.content + '[SEP]' }}
{%- endfor %}
"""
OWN = (CHATML, BERT)


class Renderer:
    """One template, ready to render.

    Args:
        template: Jinja, as in `tokenizer_config.json`. names: what else it may read (`bos_token` and the like). today: what
            `strftime_now` tells, as 2026-11-27; None: the clock.

    Raises:
        LiuliError: it is too large, or no Jinja.
    """

    def __init__(self, template: str, names: dict[str, str], today: str | None = None):
        if len(template) > LARGEST:
            raise LiuliError(f"the chat template has {len(template):,} characters; at most {LARGEST:,} are read")
        self.template, self._names, self._today = template, names, today
        self._apart = None if template in OWN else Apart()
        self.render([])

    def render(self, conversations: Sequence[tuple[Sequence[Any], Sequence[Any], bool]]) -> list[str]:
        """The text of each (messages, tools, whether the beginning of a reply is added).

        Raises:
            LiuliError: the template refuses or fails, takes too long, or writes too much.
        """
        task = {"template": self.template, "names": self._names, "today": self._today, "conversations": list(conversations)}
        answer = answer_to(task) if self._apart is None else self._apart.ask(task, SECONDS * max(1, len(conversations)))
        if "error" in answer:
            raise LiuliError(f"the chat template {answer['error']}")
        return answer["texts"]


class Apart:
    """A process that renders; a new one after one that had to be ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def ask(self, task: dict[str, Any], seconds: float) -> dict[str, Any]:
        with self._one_at_a_time:
            process = self._process = self._process or self._start()
            assert process.stdin and process.stdout
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(task) + "\n")
                process.stdin.flush()
            answer = _line(process.stdout, seconds)
            if answer.endswith("\n"):
                return json.loads(answer)
            self._process = None
            process.kill()
            process.wait()
            why = f"takes longer than {SECONDS:g} s for a conversation" if answer == _LATE else "takes too much memory"
            return {"error": f"{why}; it was stopped"}

    def _start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", __name__]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
            start_new_session=True,  # else a Ctrl-C that stops something here would end it too
        )  # fmt: skip
        weakref.finalize(self, process.kill)
        assert process.stdout
        if _line(process.stdout, STARTING) != "ready\n":
            raise LiuliError("the process that renders chat templates does not start: is there memory left?")
        return process


_LATE = "late"


def _line(stream: IO[str], seconds: float) -> str:
    """A line with its end; `_LATE`, or what came before the stream ended."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(stream.readline()), daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else _LATE


def answer_to(task: dict[str, Any]) -> dict[str, Any]:
    """{"texts": one of each conversation} or {"error": what the template does wrong}."""
    try:
        template = _compiled(task["template"])
        now = datetime.fromisoformat(task["today"]) if task["today"] else datetime.now()
        names = task["names"] | {"strftime_now": lambda form: now.strftime(form)}
        return {"texts": [_render(template, names, *each) for each in task["conversations"]]}
    except _Refused as error:
        return {"error": f"refuses this conversation: {error}"}
    except TemplateError as error:
        line = f" (line {error.lineno})" if getattr(error, "lineno", None) else ""  # pyright: ignore
        return {"error": f"is broken: {type(error).__name__}: {error.message}{line}"}
    except _TooLong:
        return {"error": f"writes more than {LONGEST:,} characters for one conversation"}
    except MemoryError:
        return {"error": "takes too much memory"}
    except RecursionError:
        return {"error": "goes too deep into itself"}
    except Exception as error:  # a template may raise whatever its expressions do
        return {"error": f"fails: {type(error).__name__}: {error}"}


def _render(template: Any, names: dict[str, Any], messages: list[Any], tools: list[Any], replying: bool) -> str:
    pieces, size = [], 0
    for piece in template.generate(**names, messages=messages, tools=tools or None, add_generation_prompt=replying):
        size += len(piece)
        if size > LONGEST:
            raise _TooLong
        pieces.append(piece)
    return "".join(pieces)


class _TooLong(Exception):
    pass


class _Refused(TemplateError):
    pass


@lru_cache(16)
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    """Jinja as `transformers` sets it up for chat templates."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _refuse
    return made


def _refuse(message: str) -> None:
    raise _Refused(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **others: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **others)


class _Generation(Extension):
    """`{% generation %}` … `{% endgeneration %}` around a reply: its body is rendered as it stands, since where a reply begins
    and ends is found without it."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Any) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _serve() -> None:
    """Answers lines until there are no more."""
    with suppress(ImportError, ValueError, OSError):  # where the system knows no such limit, the others must do
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(answer_to(json.loads(line))), flush=True)


if __name__ == "__main__":
    _serve()
