"""`liuli compare`: the same prompts and the same seed; what each model read, what it answered, how likely each finds it."""

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liuli.cli.options import ADAPTER, MODEL, Device, Json, Threads, check_compute, check_model
from liuli.cli.output import Screen, note_skipped, print_json
from liuli.cli.sampling import MaxTokens, Seed, named_as_typed, only_given, set_threads, with_sampling_options
from liuli.cli.work_progress import WorkProgress, work_progress
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.generate.model import Model
    from liuli.generate.reading import Prompt


@with_sampling_options
def compare(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help=f"The models: {MODEL}; or {ADAPTER}, if it names its base model.",
            show_default=False,
        ),
    ],
    prompt: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Give this prompt to all models. May be repeated.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read more prompts from this file, one per line. A .jsonl or .json file holds dialogues; each is used up to "
            "its last user message.",
        ),
    ] = None,
    max_tokens: MaxTokens = 64,
    seed: Seed = None,
    device: Device = "cpu",
    threads: Threads = None,
    json: Json = False,
    **sampling: float | None,
) -> None:
    """Show the answers of several models to the same prompts side by side, or of one model to several prompts.

    A base model gets the plain text; an assistant gets it in its chat template.
    """
    for each in model:
        check_model(each)
    _check_prompts(prompt or [], file)
    check_compute(device, "fp32", threads)
    given = only_given(**sampling)
    with work_progress("starting") as work:
        from liuli.inside.compare import CompareSettings
        from liuli.inside.compare import compare as side_by_side

        try:
            settings = CompareSettings(secrets.randbits(32) if seed is None else seed, max_tokens, given)
        except LiuliError as error:
            raise named_as_typed(error) from None
        prompts = _prompts(work, prompt or [], file)
        models = [_open(each, device) for each in work.counting(model, "loading models", len(model))]
        set_threads(models, threads)
        try:
            trace = side_by_side(models, prompts, settings, work.show)
        except LiuliError as error:
            raise named_as_typed(error) from None
    if json:
        print_json(trace.to_json())
    else:
        from liuli.cli.comparison import print_comparison

        print_comparison(Screen(), trace, models)


def _check_prompts(texts: Sequence[str], file: Path | None) -> None:
    """Checks what can be checked before PyTorch is imported. Raises LiuliError: there is no prompt, or no such file."""
    from liuli.data.dialogues.dialogues import DIALOGUES
    from liuli.data.records.find_files import check_names
    from liuli.data.records.small_file import check_small_file

    if file is None and not texts:
        raise LiuliError("there is no prompt: give --prompt TEXT, or --file FILE")
    if file is not None and _holds_dialogues(file):
        check_names([str(file)], DIALOGUES)
    elif file is not None:
        check_small_file(file)


def _holds_dialogues(file: Path) -> bool:
    """By its name."""
    return re.search(r"\.jsonl?(\.gz|\.zst)?$", file.name) is not None


def _prompts(work: WorkProgress, texts: Sequence[str], file: Path | None) -> "list[Prompt]":
    from liuli.generate.reading import Prompt

    found = [Prompt.of_text(text, f"prompt {number}") for number, text in enumerate(texts, 1)]
    if file is not None:
        found += _of_dialogues(work, file) if _holds_dialogues(file) else _of_lines(file)
    return found


def _of_lines(file: Path) -> "list[Prompt]":
    from liuli.data.records.small_file import read_small_file
    from liuli.generate.reading import Prompt

    lines = read_small_file(file).split("\n")
    found = [Prompt.of_text(line.rstrip("\r"), f"{file}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise LiuliError(f"{file} contains no prompt: write one prompt per line")
    return found


def _of_dialogues(work: WorkProgress, file: Path) -> "list[Prompt]":
    """Each up to the user's last message."""
    from liuli.data.dialogues.dialogues import Dialogues
    from liuli.generate.reading import Prompt

    dialogues, found = Dialogues(file, answered=False, watch=work.reading), []
    for each in dialogues:
        end = max((i for i, message in enumerate(each.messages, 1) if message["role"] == "user"), default=0)
        if not end:
            raise LiuliError(f"{each.source}: the dialogue has no user message: add one, or remove the dialogue")
        found.append(Prompt(each.source, each.messages[:end], each.tools))
    note_skipped(dialogues.skipped)
    return found


def _open(name: str, device: str) -> "Model":
    """A model, or an adapter on top of the base model that it names."""
    from liuli.files import read_json
    from liuli.generate.model import load
    from liuli.hub import model_in

    folder = model_in(Path(name))
    config = folder / "adapter_config.json"
    if not config.is_file() or (folder / "config.json").is_file():
        return load(name, device)
    base = read_json(config).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise LiuliError(
            f'{config}: "base_model_name_or_path" is missing: add it, or merge the adapter into its base model with liuli merge'
        )
    return load(base, device, adapter=folder)
