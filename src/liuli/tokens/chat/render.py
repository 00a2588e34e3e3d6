"""Renders messages to text with a Jinja template. This code runs in the sandbox (`sandbox.py`).

A sandboxed process loads only this file, which imports the standard library and Jinja, but nothing of Liuli.
"""

import json
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

REFUSES = "refuses this conversation"
LONGEST = 8 << 20  # characters that a template can write for one conversation


def answer(task: dict[str, Any]) -> dict[str, Any]:
    """Returns {"texts": one text per conversation} or {"error": what is wrong with the template}.

    Args:
        task: `template` (Jinja), `names` (other variables of the template), `today` (a date such as 2026-11-27; None: the
            current time) and `conversations` (each is messages, tools, and whether the beginning of a reply is added).
    """
    try:
        template = _compiled(task["template"])
        now = datetime.fromisoformat(task["today"]) if task["today"] else datetime.now()
        names = task["names"] | {"strftime_now": lambda form: now.strftime(form)}
        return {"texts": [_render(template, names, *each) for each in task["conversations"]]}
    except _Refused as error:
        return {"error": f"{REFUSES}: {error}"}
    except TemplateError as error:
        line = f" (line {error.lineno})" if getattr(error, "lineno", None) else ""  # pyright: ignore
        return {"error": f"is broken: {type(error).__name__}: {error.message}{line}"}
    except _TooLong:
        return {"error": f"writes more than {LONGEST:,} characters for one conversation"}
    except MemoryError:
        return {"error": "takes too much memory"}
    except RecursionError:
        return {"error": "exceeds the recursion limit"}
    except Exception as error:  # the expressions of a template can raise any exception
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
    """Returns a Jinja environment with the settings of `transformers` for chat templates."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    return environment


def _refuse(message: str) -> None:
    raise _Refused(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **others: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **others)


class _Generation(Extension):
    """The tags `{% generation %}` … `{% endgeneration %}` around a reply. They have no effect, because the loss mask is derived
    without them (`mask.py`)."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Any) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
