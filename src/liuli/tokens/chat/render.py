"""From messages to one text, as a Jinja template says it: the work that is done in the sandbox (`sandbox.py`).

A sandboxed process loads this file alone: it imports the standard library and Jinja, nothing of Liuli.
"""

import json
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST = 8 << 20  # characters that a template can write for one conversation


def answer(task: dict[str, Any]) -> dict[str, Any]:
    """{"texts": one per conversation} or {"error": what the template does wrong}.

    Args:
        task: `template` (Jinja), `names` (what else it can read), `today` (as 2026-11-27, or None for the clock) and
            `conversations` (each as messages, tools, and whether the beginning of a reply is added).
    """
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
    except Exception as error:  # a template can raise whatever its expressions raise
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
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    return environment


def _refuse(message: str) -> None:
    raise _Refused(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **others: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **others)


class _Generation(Extension):
    """`{% generation %}` … `{% endgeneration %}` around a reply. Its body is rendered as it stands: the loss mask is derived
    without it (`mask.py`)."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Any) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
