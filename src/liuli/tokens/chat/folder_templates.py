"""Finds the chat templates of a model's folder, by name, in the same order as `transformers`.

One template is named `default`. Some models have more, such as `tool_use` for conversations with tools. They are looked for in:

1. `chat_template.jinja` (the default) and `additional_chat_templates/*.jinja`;
2. the field `chat_template` of `tokenizer_config.json`: one template, or several as an object or a list;
3. `chat_template.json`, which older models with a processor have.

The first of these that exists is used; the others are not read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liuli.display import printable, why
from liuli.errors import LiuliError
from liuli.hub import TEMPLATES
from liuli.tokens.chat.sandbox import LARGEST
from liuli.tokens.formats.settings import read_settings

DEFAULT, WITH_TOOLS = "default", "tool_use"
SUFFIX = ".jinja"
MOST = 64  # templates


def folder_templates(folder: Path) -> dict[str, str]:
    """Returns the chat templates of a folder or a GGUF file, by name; {} if it has none.

    Raises:
        LiuliError: a file cannot be read; a field is not a template; there are too many templates.
    """
    paths = {DEFAULT: folder / "chat_template.jinja"} if (folder / "chat_template.jinja").is_file() else {}
    paths |= {
        path.name.removesuffix(SUFFIX): path for path in sorted((folder / TEMPLATES).glob(f"*{SUFFIX}")) if path.is_file()
    }
    _check_number(len(paths), folder)
    if paths:
        return {name: _read(path) for name, path in paths.items()}
    for file in ("tokenizer_config.json", "chat_template.json"):
        found = _in_field(read_settings(folder, file).get("chat_template"), folder / file)
        if found:
            return found
    return {}


def chosen_template(templates: Mapping[str, str], with_tools: bool) -> str:
    """Returns the name of the template for a conversation: `tool_use` if there are tools and such a template, else the default.

    Raises:
        LiuliError: there are several templates, and none of them is the default.
    """
    if with_tools and WITH_TOOLS in templates:
        return WITH_TOOLS
    if DEFAULT in templates:
        return DEFAULT
    if len(templates) == 1 and WITH_TOOLS not in templates:
        return next(iter(templates))
    names = ", ".join(printable(name) for name in templates)
    raise LiuliError(
        f"the model has the chat templates {names}, but none for this conversation: rename one of them to {DEFAULT}"
    )


def _in_field(given: Any, path: Path) -> dict[str, str]:
    """Returns the templates in the field `chat_template` of a JSON file."""
    if given is None:
        return {}
    if isinstance(given, list):  # of objects with a name and a template
        if not all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in given):
            raise LiuliError(f"{path}: each template in the list chat_template must be an object with a name and a template")
        given = {each["name"]: each.get("template") for each in given}
    found = given if isinstance(given, dict) else {DEFAULT: given}
    if not all(isinstance(template, str) for template in found.values()):
        raise LiuliError(f"{path}: chat_template must be a string, or an object or a list of named strings; correct the file")
    _check_number(len(found), path)
    return found


def _check_number(count: int, where: Path) -> None:
    if count > MOST:
        raise LiuliError(f"{where} has {count:,} chat templates; at most {MOST} are possible: remove some of them")


def _read(path: Path) -> str:
    shown = printable(str(path))
    try:
        if path.stat().st_size > 4 * LARGEST:  # bytes; a character has four at most
            raise LiuliError(
                f"{shown} has {path.stat().st_size:,} bytes; a chat template has at most {LARGEST:,} characters: shorten it"
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LiuliError(f"{shown} is not UTF-8 text: convert it to UTF-8") from error
    except OSError as error:
        raise LiuliError(f"{shown} cannot be read: {why(error)}") from error
