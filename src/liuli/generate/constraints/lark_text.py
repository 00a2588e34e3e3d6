"""A grammar in Lark's syntax, made ready for the library: schemas in it are checked and bounded, and what would break the
promises of a constraint is refused."""

import json
import re
from bisect import bisect_right

from liuli.errors import LiuliError
from liuli.generate.constraints.schema_check import check_schema, library_schema

# Comments, strings and regular expressions are skipped; the named parts are looked at.
PARTS = re.compile(
    r"""//[^\n]* | \#[^\n]* | "(?:\\.|[^"\\\n])*" | /(?:\\.|[^/\\\n])+/
    | (?P<json>%json\b) | (?P<number><\[) | \b(?P<option>max_tokens|temperature|stop)\s*=""",
    re.VERBOSE,
)
WHY_NOT = {
    "max_tokens": "bound the regular expression instead, as in /[^\\n]{1,80}/",
    "temperature": "set the temperature of the request",
    "stop": 'use suffix="…" or lazy instead',
}


def bounded_lark(text: str) -> str:
    """The grammar with every `%json` schema checked and its white space bounded.

    Raises:
        LiuliError: a schema cannot be used; an option of a rule, or a special token by its number, is not supported.
    """
    lines = [0, *(found.end() for found in re.finditer("\n", text))]
    pieces: list[str] = []
    copied = at = 0
    while found := PARTS.search(text, at):
        at = found.end()
        where = f"line {bisect_right(lines, found.start())} of the grammar"
        if found["option"]:
            option = found["option"]
            raise LiuliError(f"{where}: the option {option} is not supported: {WHY_NOT[option]}")
        if found["number"]:
            raise LiuliError(f"{where}: a special token has a number here: give its text instead, such as <|im_end|>")
        if found["json"]:
            begin = re.compile(r"\s*").match(text, at).end()  # pyright: ignore[reportOptionalMemberAccess]  # matches always
            try:
                schema, at = json.JSONDecoder().raw_decode(text, begin)
                check_schema(schema)
            except json.JSONDecodeError as error:
                raise LiuliError(f"{where}: what follows %json is not JSON: {error.msg}") from None
            except LiuliError as error:
                raise LiuliError(f"{where}: {error}") from None
            pieces += [text[copied:begin], json.dumps(library_schema(schema))]
            copied = at
    return "".join([*pieces, text[copied:]])
