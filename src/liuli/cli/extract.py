"""`liuli extract`: a prompt in, JSON out that is valid under a schema."""

import json as json_library
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.cli.complete import Steps, print_steps
from liuli.cli.input import read_text
from liuli.cli.options import Adapter, Device, Dtype, Json, ModelName, Pattern, Threads, check_compute, check_model
from liuli.cli.output import note, print_json, say
from liuli.cli.sampling import Seed, named_as_typed, only_given, set_threads, settings_line, with_sampling_options
from liuli.cli.structure import read_schema
from liuli.cli.work_progress import work_progress
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.generate.completion import Completion
    from liuli.generate.constraints.grammar import Grammar
    from liuli.generate.model import Model
    from liuli.generate.record import StepRecord

CANDIDATES = 5  # recorded at each step
MAX_TOKENS = 512


Schema = Annotated[
    str,
    typer.Option(
        metavar="SCHEMA",
        help="The JSON Schema of the result: a file, or a short schema such as 'name, age int, tags list'.",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Generate at most this many tokens. The result is complete within them.",
        show_default="512, or fewer if the context has no room for them",
    ),
]


@with_sampling_options
def extract(
    model: ModelName,
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT",
            help="The question or the text to extract from; - reads it from standard input.",
            show_default=False,
        ),
    ],
    schema: Schema,
    max_tokens: Limit = None,
    seed: Seed = None,
    steps: Steps = False,
    adapter: Adapter = None,
    pattern: Pattern = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    threads: Threads = None,
    json: Json = False,
    **sampling: float | None,
) -> None:
    """Answer a prompt with JSON that is valid under a schema."""
    check_model(model, adapter)
    from liuli.generate.constraints.grammar import Grammar

    wanted = read_schema(schema)
    grammar = Grammar.of_schema(wanted)
    check_compute(device, dtype, threads)
    asked = _with_schema(read_text(prompt), wanted)
    given = only_given(**sampling)
    with work_progress(f"loading {model}") as work:
        from liuli.generate.model import load

        opened = load(model, device=device, dtype=dtype, pattern=pattern, adapter=adapter)
        set_threads([opened], threads)
        recorded = CANDIDATES if steps or json else None
        completion, records = _begun(opened, given, asked, max_tokens, seed, recorded, grammar)
        if steps and not json:
            work.close()
            print_steps(completion, records)
        else:
            for _ in work.counting(records, "generating tokens", max_tokens or MAX_TOKENS):
                pass
        document = _checked(completion, wanted)
        if json:
            work.show("hashing the model")
        identity = opened.identity() if json else {}
    if json:
        print_json({"model": identity, "schema": wanted, "document": document} | completion.to_json())
        return
    say(json_library.dumps(document, ensure_ascii=False, indent=2))
    note(settings_line(opened, completion.sampling, completion.seed, given))


def _begun(
    model: "Model",
    given: dict[str, Any],
    text: str,
    max_tokens: int | None,
    seed: int | None,
    recorded: int | None,
    grammar: "Grammar",
) -> "tuple[Completion, Iterator[StepRecord]]":
    """The answer, which grows as its steps are taken.

    Raises:
        LiuliError: what `PromptReader` raises; settings are named as they are typed.
    """
    from liuli.generate.reading import Prompt, PromptReader

    try:
        reader = PromptReader(model, given)
        asked = Prompt.of_text(text, "the prompt")
        if max_tokens is None:
            max_tokens = max(1, min(MAX_TOKENS, model.config.context - len(reader.ids(asked))))
        return reader.begin(asked, max_tokens, seed, recorded, grammar)
    except LiuliError as error:
        raise named_as_typed(error) from None


def _with_schema(text: str, schema: Any) -> str:
    """The prompt, and the schema, whose names and descriptions tell the model what is asked."""
    return f"{text}\n\nAnswer with JSON that follows this JSON Schema:\n{json_library.dumps(schema, ensure_ascii=False)}\n"


def _checked(completion: "Completion", schema: Any) -> Any:
    """The result, after a library that had no part in its making has checked it.

    Raises:
        LiuliError: it is not valid.
    """
    from liuli.generate.constraints.schema_check import validation_error

    document = None
    try:
        document = json_library.loads(completion.text)
        problem = validation_error(document, schema)
    except ValueError as error:
        problem = str(error)
    if problem:
        raise LiuliError(
            f"the model's JSON is not valid under the schema: {problem}. This is an error in Liuli; please report it with the "
            f"schema"
        )
    return document
