"""`liuli evaluate`: measures how well a model predicts a text or the replies in dialogues, and for a world, how far it is from
the true probabilities."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.cli.options import (
    SOURCE,
    Adapter,
    AsDialogues,
    Device,
    Dtype,
    Json,
    ModelName,
    Pattern,
    Strict,
    TextField,
    Threads,
    check_compute,
    check_model,
)
from liuli.cli.output import note, note_skipped, print_json, say
from liuli.cli.sampling import set_threads
from liuli.cli.wording import percent
from liuli.cli.work_progress import WorkProgress, work_progress
from liuli.errors import LiuliError
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.evaluate.dialogues import DialogueEvaluation, ExactReplies
    from liuli.evaluate.loss import Evaluation
    from liuli.generate.model import Model
    from liuli.tokens import Tokenizer
    from liuli.world import Comparison, World

Evaluated = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help=f"The text or the dialogues: {SOURCE}; or a folder made by liuli world, to compare the model with the true "
        "probabilities.",
        show_default=False,
    ),
]
Valid = Annotated[
    str | None,
    typer.Option(
        metavar="content|tail:0.1|FILE",
        help="Evaluate only the validation split that a run with this --valid setting holds out.",
        show_default="all of the sources",
    ),
]
LENGTH = 1024  # tokens of a window at most, by default
Length = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Use windows of at most this many tokens.", show_default=f"the model's context, at most {LENGTH}"
    ),
]
POINTS = 200  # by default
Points = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="For a world: compare probabilities at this many choices of each kind.", show_default=str(POINTS)
    ),
]
Exact = Annotated[
    bool,
    typer.Option(
        "--exact",
        help="For dialogues: also generate the last reply of each dialogue greedily, and print how many are exactly the "
        "dialogue's own.",
    ),
]
KINDS = {"wording": "wordings", "entity": "names", "fact": "facts", "habit": "habits"}


def evaluate(
    model: ModelName,
    sources: Evaluated,
    valid: Valid = None,
    length: Length = None,
    points: Points = None,
    exact: Exact = False,
    dialogues: AsDialogues = False,
    text_field: TextField = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    threads: Threads = None,
    adapter: Adapter = None,
    pattern: Pattern = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Measure how well a model predicts a text, or the replies in dialogues: nats per token, bits per byte and perplexity."""
    check_model(model, adapter)
    _check_sources(sources, valid)
    check_compute(device, dtype, threads)
    with work_progress(f"loading {model}") as work:
        from liuli.data.dialogues.recognise import hold_dialogues
        from liuli.generate.model import load

        opened = load(model, device, dtype, pattern, adapter)
        if length is not None and not 1 <= length <= opened.config.context:
            raise LiuliError(f"--length must be from 1 to the model's context of {opened.config.context}, not {length}")
        longest = length or min(LENGTH, opened.config.context)
        set_threads([opened], threads)
        world = _world(sources)
        of_dialogues = dialogues or (world is None and text_field is None and hold_dialogues(sources))
        _check_options(world is not None, of_dialogues, points, exact, text_field)
        body: dict[str, Any] = {}
        if of_dialogues:
            of_replies, same = _evaluate_dialogues(work, opened, sources, valid, longest, strict, exact)
            lines = _lines_of_dialogues(of_replies, same)
            body = {"dialogues": of_replies.to_json() | ({"exact": same.to_json()} if same else {})}
        else:
            where = [str(Path(sources[0]) / "documents.jsonl")] if world else sources
            found = _evaluate_text(work, opened, where, valid, longest, strict, text_field)
            lines = _lines_of_text(found)
            body = {"evaluation": found.to_json()}
        if world:
            compared = _compare(work, opened, world, POINTS if points is None else points)
            lines += comparison_lines(compared.to_json())
            body["world"] = compared.to_json()
        if json:
            work.show("hashing the model")
            body = {"model": opened.identity()} | body
    if json:
        print_json(body)
    else:
        for line in lines:
            say(line)


def _check_options(of_world: bool, of_dialogues: bool, points: int | None, exact: bool, text_field: list[str] | None) -> None:
    """Raises LiuliError: an option that does not apply to what is evaluated."""
    if points is not None and not of_world:
        raise LiuliError("--points applies only to a folder made by liuli world: leave out --points")
    if exact and not of_dialogues:
        raise LiuliError("--exact applies only to dialogues, and the sources are text: leave out --exact, or add --dialogues")
    if text_field and of_dialogues:
        raise LiuliError("--text-field applies only to text, and --dialogues to dialogues: leave out one of them")


def _evaluate_text(
    work: WorkProgress,
    opened: "Model",
    sources: list[str],
    valid: str | None,
    length: int,
    strict: bool,
    fields: list[str] | None,
) -> "Evaluation":
    from liuli.data.split import split_texts
    from liuli.data.text.sources import Sources
    from liuli.evaluate import loss as measuring

    tokenizer = _tokenizer(opened)
    texts = Sources(sources, strict, watch=work.reading, fields=fields)
    work.expect(texts.files)
    documents = split_texts(texts, valid).validation() if valid else texts.documents()
    found = measuring.evaluate(opened.decoder, tokenizer, documents, length, work.show)
    note_skipped(texts.skipped)
    return found


def _evaluate_dialogues(
    work: WorkProgress,
    opened: "Model",
    sources: list[str],
    valid: str | None,
    length: int,
    strict: bool,
    exact: bool,
) -> "tuple[DialogueEvaluation, ExactReplies | None]":
    from liuli.data.dialogues.dialogues import Dialogues
    from liuli.data.packing.dialogue_pieces import Cuts
    from liuli.data.split import split_dialogues
    from liuli.evaluate.dialogues import evaluate_dialogues, exact_replies

    chat = opened.chat
    read = Dialogues(sources, strict, watch=work.reading)
    work.expect(read.files)
    split = split_dialogues(read, valid) if valid else None
    chosen = split.validation if split else read.dialogues
    cuts = Cuts()
    found = evaluate_dialogues(opened.decoder, chat, chosen(), length, cuts, strict, work.show)
    note_skipped((split.other if split and split.other else read).skipped)
    for line in cuts.lines(length):
        note(line)
    same = exact_replies(opened.decoder, chat, chosen(), work.show) if exact else None
    return found, same


def _check_sources(sources: list[str], valid: str | None) -> None:
    """Raises LiuliError: there is no such file or folder, or no such rule; a folder has a world inside. Does not import
    PyTorch."""
    from liuli.data.records.find_files import check_names
    from liuli.data.split import SplitRule
    from liuli.data.text.readers import TEXTS

    check_names(sources, TEXTS)
    for source in sources:
        _refuse_folder_around_world(source)
    if valid is not None:
        SplitRule.parse(valid)


def _refuse_folder_around_world(source: str) -> None:
    """Raises LiuliError: the source is a folder with a world inside, such as that of `liuli begin`. The other files in it are
    not meant as one text with the world's."""
    folder = Path(source)
    if not folder.is_dir():
        return
    from liuli.world.folder import open_folder

    if open_folder(folder):
        return
    for inside in sorted(folder.iterdir()):
        if inside.is_dir() and open_folder(inside):
            raise LiuliError(
                f"{source} contains the world {inside}: give {inside} to compare the model with that world, or name the files "
                f"to evaluate"
            )


def _tokenizer(opened: "Model") -> "Tokenizer":
    if opened.tokenizer is None:
        raise LiuliError(f"{opened.path} contains no tokenizer, so it cannot evaluate a text: add its tokenizer files")
    return opened.tokenizer


def _world(sources: list[str]) -> "World | None":
    """The world whose folder is the only source."""
    from liuli.world.folder import open_folder

    return open_folder(Path(sources[0])) if len(sources) == 1 else None


def _compare(work: WorkProgress, opened: "Model", world: "World", points: int) -> "Comparison":
    from liuli.evaluate.against_world import compare_with_world

    return compare_with_world(opened.decoder, _tokenizer(opened), world, points, watch=work.show)


def _lines_of_text(found: "Evaluation") -> list[str]:
    text = f"{counted(found.tokens, 'token')}, {counted(found.bytes, 'byte')}"
    return [
        f"{found.nats_per_token:.4f} nats/token, {found.bits_per_byte:.4f} bits/byte, perplexity {found.perplexity:.2f}",
        f"over {text}, in {counted(found.windows, 'window')} of at most {counted(found.length, 'token')}",
    ]


def _lines_of_dialogues(found: "DialogueEvaluation", same: "ExactReplies | None") -> list[str]:
    loss = found.loss
    replies = counted(found.replies, "reply", "replies")
    lines = [
        f"{loss.nats_per_token:.4f} nats per supervised token, {loss.bits_per_byte:.4f} bits/byte, "
        f"perplexity {loss.perplexity:.2f}; {found.nats_per_reply:.2f} nats per reply",
        f"over {counted(loss.tokens, 'supervised token')}, {replies} of {counted(found.dialogues, 'dialogue')}, in rows of at "
        f"most {counted(loss.length, 'token')}",
    ]
    if same:
        asked = f"{same.exact:,} of {same.asked:,}, generated greedily"
        lines.append(f"last replies that are exactly the dialogue's own: {percent(same.share)} ({asked})")
        if same.exact < same.asked:
            lines.append("  a reply that says the same in other words is not counted as exact")
        lines += [f"  not generated: {count:,} × {reason}" for reason, count in same.left_out.items()]
    return lines


def comparison_lines(found: dict[str, Any]) -> list[str]:
    """A comparison with the world (`Comparison.to_json`), for people."""
    lines = [
        "Difference from the true probabilities (KL divergence), in nats per choice (0 = perfect).",
        "A choice is a place in the text that has several possible continuations.",
        "A fact has one true value; a habit has several, each with a known frequency.",
    ]
    for kind, gap in found["gaps"].items():
        allowed = "" if gap["allowed"] is None else f"; {gap['allowed']:.1%} of the model's samples are possible in this world"
        lines.append(f"  {KINDS[kind]:<9}{_nats(gap['nats'])}  over {counted(gap['points'], 'choice')}{allowed}")
    facts = ", ".join(f"{share:.1%} in {lang}" for lang, share in found["facts"].items())
    lines.append(f"  whole documents {_nats(found['whole'])}; facts right: {facts}")
    lines.append(
        f"  habits: the largest frequency error of each habit, averaged: {found['habit_error']:.1f} percentage points; "
        f"a single habit can be off by more"
    )
    return lines


def _nats(number: float | None) -> str:
    return "infinite" if number is None else f"{number:.3f}"
