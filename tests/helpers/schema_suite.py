"""The JSON-Schema-Test-Suite: every schema in it, with the instances that are valid and those that are not."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DRAFTS = {
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
    "draft7": "http://json-schema.org/draft-07/schema#",
}
MOST_ORDERS = 24  # of the keys of an object


class Group(NamedTuple):
    """One schema of the suite. `name`: where it is."""

    name: str
    schema: Any
    valid: list[Any]
    invalid: list[Any]


def groups(folder: Path) -> Iterator[Group]:
    """All groups in the folder `schema/tests`, without the optional ones."""
    for draft, uri in DRAFTS.items():
        for path in sorted((folder / draft).glob("*.json")):
            for each in json.loads(path.read_text()):
                schema = each["schema"]
                if isinstance(schema, dict):
                    schema = {"$schema": uri} | schema
                tests = each["tests"]
                yield Group(
                    f"{draft}/{path.stem}: {each['description']}",
                    schema,
                    [test["data"] for test in tests if test["valid"]],
                    [test["data"] for test in tests if not test["valid"]],
                )


def spellings(value: Any) -> Iterator[str]:
    """The JSON texts of a value, with the keys of its objects in different orders. A grammar fixes the order of properties."""
    for spelled in _orders(_whole(value)):
        yield json.dumps(spelled, ensure_ascii=False)


def _whole(value: Any) -> Any:
    """1.0 is the integer 1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return {name: _whole(part) for name, part in value.items()} if isinstance(value, dict) else value


def _orders(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for names in itertools.islice(itertools.permutations(value), MOST_ORDERS):
            for parts in itertools.product(*(list(_orders(value[name])) for name in names)):
                yield dict(zip(names, parts, strict=True))
    elif isinstance(value, list):
        yield from (list(parts) for parts in itertools.product(*(list(_orders(part)) for part in value)))
    else:
        yield value
