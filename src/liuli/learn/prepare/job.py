"""The settings that a user gave for a run. None means that a setting was not given, and the rules decide.

Each setting is a field of one of the parts, with its help text; the command line's options are made from these fields
(`cli/training.py`). In `run.json` all fields stand in one object, under their own names.
"""

from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from liuli.errors import LiuliError
from liuli.fields import Record, check, is_positive, is_size, is_whole
from liuli.learn.step.recipe import check_schedule

TRAIN, FINETUNE = "train", "finetune"  # the commands
SIZES = ("nano", "micro", "mini", "small", "base")  # of `PRESETS`, those that are trained
TRAINED_IN = ("fp32", "bf16")  # dtypes of matrix multiplications, by name
OWN_NAMES = ("bpe", "char", "content")  # values that name no file; a file of such a name is ./bpe
PLACES = ("config", "parent", "tokenizer", "valid", "mix")  # fields that may name a file or folder


def setting(
    text: str,
    shown: str | None = None,
    name: str | None = None,
    metavar: str | None = None,
    only: str | None = None,
    default: Any = None,
) -> Any:
    """A field that the command line offers as an option.

    Args:
        text: a sentence for `--help`. shown: the default as people read it. name: of the option, if it differs from the
            field's. metavar: what stands for the value. only: the one command that has it; None: every one that trains.
    """
    about = {"help": text, "shown": shown, "name": name, "metavar": metavar, "only": only}
    return field(default=default, metadata=about)


@dataclass(frozen=True, slots=True)
class DataSettings(Record):
    """The data that is trained on, and the part that is held out."""

    sources: tuple[str, ...] = ()
    mix: str | None = setting(
        "Train on this plain text in addition to the dialogues (a file, a folder or hub:owner/dataset). It fills a quarter of "
        "each batch.",
        metavar="SOURCE",
        only=FINETUNE,
    )
    valid: str | None = setting(
        "Hold out this part of the data for validation: content (about one block of text or one dialogue in twenty, chosen by "
        "a hash of the block or of the dialogue's first prompt), tail:0.1 (the last 10 %), or a file.",
        shown="content",
        metavar="content|tail:0.1|FILE",
    )
    text_field: tuple[str, ...] = setting(
        "Read the text of a record from this field (when fine-tuning, a record of --mix). If the field is a list of strings, "
        "each is a line. May be repeated: the first of the fields that a record has is read.",
        shown="text",
        metavar="FIELD",
        default=(),
    )
    strict: bool | None = setting("Stop at the first input that would be skipped.")


@dataclass(frozen=True, slots=True)
class ModelSettings(Record):
    """What the run starts from: a size, a configuration file, or a model."""

    parent: str | None = setting(
        "Start from the weights and the tokenizer of this model, instead of from random weights.",
        name="from",
        metavar="MODEL",
        only=TRAIN,
    )
    size: str | None = setting("Train a new model of this size.", shown=SIZES[0], metavar="|".join(SIZES), only=TRAIN)
    config: str | None = setting(
        "Train a new model of the shape that this config.json describes, instead of a --size.", metavar="FILE", only=TRAIN
    )
    tokenizer: str | None = setting(
        "Train a tokenizer of this kind (bpe or char), or use the tokenizer of this model (its own folder is enough).",
        shown="bpe",
        metavar="bpe|char|MODEL",
        only=TRAIN,
    )
    vocab_size: int | None = setting("Train the tokenizer with this vocabulary size.", shown="that of --size", only=TRAIN)
    lora: int | None = setting(
        "Train a LoRA adapter of this rank, and do not change the model's own weights.", metavar="RANK", only=FINETUNE
    )

    def __post_init__(self) -> None:
        if self.size not in (None, *SIZES):
            raise LiuliError(f"there is no size {self.size!r} to train; sizes: {', '.join(SIZES)}")


@dataclass(frozen=True, slots=True)
class BudgetSettings(Record):
    """How long to train: at most one of these."""

    minutes: float | None = setting("Train for this many minutes, including validation, samples and checkpoints.", shown="5")
    tokens: float | None = setting(
        "Train for this many tokens, such as 2e6. All that are read are counted, also those that are not supervised."
    )
    epochs: float | None = setting("Train for this many passes over the data.")

    def __post_init__(self) -> None:
        _at_most_one(self, "minutes", "tokens", "epochs")
        check(self, "minutes tokens epochs", _optional(is_positive), "a number above 0", "--")


@dataclass(frozen=True, slots=True)
class ComputeSettings(Record):
    """How the run computes. A resumed run must have the same settings, except with `--inexact`."""

    device: str | None = setting(
        "Compute on this device: cpu, cuda, cuda:1 (the second GPU) or mps.", shown="a GPU if there is one", metavar="DEVICE"
    )
    dtype: str | None = setting(
        "Compute matrix multiplications in this number format.",
        shown="the faster one on this machine",
        metavar="|".join(TRAINED_IN),
    )
    threads: int | None = setting("Use this many CPU threads.", shown="the fastest number on this machine")
    compile: bool | None = setting("Compile the decoder with torch.compile, which needs a C++ compiler.")

    def __post_init__(self) -> None:
        check(self, "threads", _optional(is_size), "a whole number above 0", "--")
        if self.dtype not in (None, *TRAINED_IN):
            raise LiuliError(f"there is no dtype {self.dtype!r} to train in; dtypes: {', '.join(TRAINED_IN)}")


@dataclass(frozen=True, slots=True)
class OptimisationSettings(Record):
    """Fields of the recipe (`step/recipe.py`) that the user sets instead of its rules."""

    length: int | None = setting(
        "Train on sequences of this many tokens. A new model gets this context length.",
        shown="chosen from the lengths of the documents",
    )
    rows: int | None = setting(
        "Train on this many sequences per optimizer step (batch size).", shown="chosen from the size of the model"
    )
    rate: float | None = setting(
        "Set the learning rate of the weight matrices. The rates of the embedding and the other parameters follow from it.",
        shown="chosen from the kind of training and the model's size",
        name="lr",
    )
    decay: float | None = setting("Set the weight decay of the weight matrices.", shown="0")
    warm_up: float | None = setting(
        "Warm the learning rate up during this share of the steps.",
        shown="0.02; 0.05 for a large pretrained model",
        metavar="SHARE",
    )
    warm_down: float | None = setting(
        "Decay the learning rate to zero during this share of the steps, at the end.",
        shown="0.9; 0.95 for a large pretrained model",
        metavar="SHARE",
    )

    def __post_init__(self) -> None:
        check(self, "length rows", _optional(is_size), "a whole number above 0", "--")
        check_schedule(self)

    def given(self) -> dict[str, Any]:
        """The fields that are not None."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}


@dataclass(frozen=True, slots=True)
class RunSettings(Record):
    """Other settings of the run."""

    seed: int | None = setting("Set the random seed (initial weights and data order).", shown="0")
    probes: tuple[str, ...] = setting(
        "Track this prompt: trace.json records the most likely next tokens after it during training. May be repeated.",
        name="probe",
        metavar="TEXT",
        default=(),
    )
    keep: int | None = setting("Keep this many checkpoints in addition to the last and the best.", shown="1")
    today: str | None = None  # the day on which the run began, as 2026-11-27: chat templates may write it

    def __post_init__(self) -> None:
        check(self, "seed keep", _optional(is_whole), "a whole number of at least 0", "--")


@dataclass(frozen=True, slots=True)
class Job:
    """All settings of a run, by part."""

    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    optimisation: OptimisationSettings = field(default_factory=OptimisationSettings)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        model = self.model
        _at_most_one(model, "size", "config", "parent")
        if model.parent and (model.tokenizer or model.vocab_size):
            raise LiuliError("--from brings the model's own tokenizer: leave out --tokenizer and --vocab-size")
        check(model, "lora", _optional(is_size), "a whole number above 0", "--")

    @classmethod
    def of(cls, **given: Any) -> "Job":
        """From fields of any part, by name; lists are taken as tuples."""
        return cls().but(**given)

    def but(self, **changed: Any) -> "Job":
        """The same with other values of some fields, of any part.

        Raises:
            LiuliError: values that are out of range, or cannot be given together.
            TypeError: there is no such field.
        """
        if unknown := changed.keys() - PART_OF.keys():
            raise TypeError(f"a job has no field {min(unknown)}")
        parts: dict[str, dict[str, Any]] = {}
        for name, value in changed.items():
            parts.setdefault(PART_OF[name], {})[name] = tuple(value) if isinstance(value, list) else value
        return replace(self, **{part: replace(getattr(self, part), **values) for part, values in parts.items()})

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "Job":
        """What `to_json` made.

        Raises:
            LiuliError: a field is not known here; a newer version may have written it.
        """
        unknown = [name for name in body if name not in PART_OF]
        if unknown:
            raise LiuliError(
                f"the run was started by another version of Liuli (unknown setting {unknown[0]}): resume it with that version"
            )
        return cls.of(**body)

    def to_json(self) -> dict[str, Any]:
        """All fields in one object."""
        return {name: value for part in fields(self) for name, value in getattr(self, part.name).to_json().items()}

    def values(self) -> dict[str, Any]:
        """Every field of every part, by name."""
        return {name: getattr(getattr(self, part), name) for name, part in PART_OF.items()}

    @property
    def seed(self) -> int:
        return self.run.seed or 0

    def located(self) -> "Job":
        """The same with absolute paths."""
        found = self.values()
        changed: dict[str, Any] = {"sources": tuple(_located(name) for name in self.data.sources)}
        for name in PLACES:
            if found[name] is not None and found[name] not in OWN_NAMES:
                changed[name] = _located(found[name])
        return self.but(**changed)

    def differences(self, other: "Job") -> dict[str, tuple[Any, Any]]:
        """The fields that were given here and have another value in `other`: name -> (here, there)."""
        there = other.values()
        pairs = {name: (value, there[name]) for name, value in self.values().items()}
        return {name: pair for name, pair in pairs.items() if pair[0] not in (None, ()) and pair[0] != pair[1]}


def all_fields() -> Iterator[tuple[str, Field[Any], Any]]:
    """(part, field, type) of every setting."""
    for part, kind in get_type_hints(Job).items():
        types = get_type_hints(kind)
        yield from ((part, each, types[each.name]) for each in fields(kind))


PART_OF = {each.name: part for part, each, _ in all_fields()}  # the part that has a field
COMPUTE = tuple(name for name, part in PART_OF.items() if part == "compute")


def option_name(name: str) -> str:
    """A field's name on the command line, without the dashes; for any other name, as an option would be called."""
    names = {each.name: each.metadata.get("name") for _, each, _ in all_fields()}
    return names.get(name) or name.replace("_", "-")


def _at_most_one(part: Any, *names: str) -> None:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) > 1:
        raise LiuliError(f"--{option_name(given[0])} and --{option_name(given[1])} cannot both be given: choose one")


def _optional(good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or good(value)


def _located(name: str) -> str:
    """An existing path made absolute; any other name (hub:…, -, owner/model) as it is."""
    return str(Path(name).resolve()) if name and name != "-" and Path(name).exists() else name
