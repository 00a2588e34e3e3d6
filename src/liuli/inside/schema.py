"""The JSON Schema of every view, generated from its dataclass, so that the two cannot differ.

    python -m liuli.inside.schema > docs/views.schema.json

Descriptions are those of the docstrings' `Attributes`. Numbers that are not finite become null, so every float can be null.
"""

import inspect
import json
import re
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from liuli.generate.record import StepScores
from liuli.inside.ablation import AblationView
from liuli.inside.arrays import Array, Packed
from liuli.inside.attention import AttentionView
from liuli.inside.branches import BranchesView
from liuli.inside.candidates import CandidatesView
from liuli.inside.context import ContextView
from liuli.inside.gradient import GradientView
from liuli.inside.influence import InfluenceView
from liuli.inside.learning import LearningView
from liuli.inside.lens import LensView
from liuli.inside.patching import PatchingView
from liuli.inside.path import PathView
from liuli.inside.self_check import SelfCheck
from liuli.inside.tokens import TokensView
from liuli.inside.vectors import VectorsView
from liuli.inside.view import ENVELOPE, View
from liuli.tokens import Token
from liuli.tokens.trace import Chunk

KINDS: tuple[type[View], ...] = (
    PathView, TokensView, VectorsView, ContextView, AttentionView, LensView, CandidatesView, BranchesView, InfluenceView,
    AblationView, PatchingView, GradientView, LearningView,
)  # fmt: skip
DIALECT = "https://json-schema.org/draft/2020-12/schema"
PLAIN: dict[Any, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": ["number", "null"]},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    bytes: {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
}
IDS = {"type": "array", "items": {"type": "integer"}}
ADDED: dict[type, dict[str, Any]] = {  # what `to_json` adds to the fields
    SelfCheck: {"ok": {"type": "boolean"}},
    Chunk: {"ids": IDS},
}
LEFT_OUT: dict[type, frozenset[str]] = {Token: frozenset({"special"})}  # what `to_json` leaves out
OPTIONAL: dict[type, frozenset[str]] = {Token: frozenset({"span"})}


def make_schema() -> dict[str, Any]:
    """Returns the schema of all views: one of them, told apart by "schema"."""
    definitions: dict[str, Any] = {}
    views = [{"$ref": f"#/$defs/{_define_view(kind, definitions)}"} for kind in KINDS]
    return {
        "$schema": DIALECT,
        "title": "Views of a model",
        "description": "What `liuli look --json` prints and `View.to_json` returns. Generated from src/liuli/inside.",
        "oneOf": views,
        "$defs": dict(sorted(definitions.items())),
    }


def _define_view(kind: type[View], definitions: dict[str, Any]) -> str:
    hints, about = get_type_hints(kind), _attributes(kind)
    envelope = {"schema": {"const": f"{kind.NAME}@{kind.VERSION}"}}
    body = {}
    for each in fields(kind):
        described = _field(hints[each.name], each.metadata, about.get(each.name) or _attributes(View).get(each.name), definitions)
        (envelope if each.name in ENVELOPE else body)[each.name] = described
    envelope["body"] = _object(body)
    definitions[kind.__name__] = _object(envelope, _summary(kind))
    return kind.__name__


def _define(kind: type, definitions: dict[str, Any]) -> str:
    """The name of the definition of a dataclass."""
    name = kind.__name__
    if name in definitions:
        return name
    definitions[name] = {}  # so that a class can contain itself
    hints, about = get_type_hints(kind), _attributes(kind)
    properties = {}
    for each in fields(kind):
        if each.name not in LEFT_OUT.get(kind, ()):
            properties[each.name] = _field(hints[each.name], each.metadata, about.get(each.name), definitions)
    properties |= ADDED.get(kind, {})
    if kind is StepScores:
        raise AssertionError("the scores of a step are part of the step's own schema")
    definitions[name] = _object(properties, _summary(kind), OPTIONAL.get(kind, frozenset()))
    return name


def _object(properties: dict[str, Any], description: str = "", optional: frozenset[str] = frozenset()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    found: dict[str, Any] = {"description": description} if description else {}
    return found | {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _field(hint: Any, metadata: Mapping[str, Any], about: str | None, definitions: dict[str, Any]) -> dict[str, Any]:
    described = dict(_of_type(hint, definitions))
    if hint is Array:
        shape, unit = metadata["shape"], metadata["unit"]
        about = f"{shape}, {unit}. {about or ''}".strip()
    return described | {"description": about} if about else described


def _of_type(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if hint in PLAIN:
        return PLAIN[hint]
    if hint is Array:
        return {"$ref": f"#/$defs/{_define(Packed, definitions)}"}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of_type(each, definitions) for each in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        items = [_of_type(each, definitions) for each in arguments]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": _of_type(arguments[0], definitions)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": True}
    if hint is Any:
        return {}
    if hint.__name__ == "StepRecord":
        return {"type": "object", "title": "StepRecord", "description": "A step: docs/step-record.schema.json."}
    assert is_dataclass(hint), hint
    return {"$ref": f"#/$defs/{_define(hint, definitions)}"}


def _summary(kind: type) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def _attributes(kind: type) -> dict[str, str]:
    """What a docstring's `Attributes` say, by name. Several attributes can be described in one paragraph: `a: … b: …`."""
    text = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
    names = "|".join(each.name for each in fields(kind)) if is_dataclass(kind) else ""
    found: dict[str, str] = {}
    for entry in re.split(rf"(?:^|(?<=[.;])|\n)\s*(?=(?:{names})(?:, (?:{names}))*: )", text):
        named = re.match(rf"((?:{names})(?:, (?:{names}))*): (.*)", entry.strip(), re.DOTALL)
        if named:
            for name in named[1].split(", "):
                found[name] = " ".join(named[2].split())
    return found


if __name__ == "__main__":
    json.dump(make_schema(), sys.stdout, ensure_ascii=False, indent=1)
    print()
