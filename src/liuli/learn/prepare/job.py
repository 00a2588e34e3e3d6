"""What a run is asked to do, as it was said: None where it was not, and the rules decide."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from liuli.errors import LiuliError
from liuli.fields import Record, check, is_positive, is_size

# What may differ when a run goes on: `keep` freely, as may where the text is; how it computes only where exactness is given up.
FREE, INEXACT = ("keep",), ("device", "dtype", "threads", "compile")


@dataclass(frozen=True, slots=True)
class Job(Record):
    """Attributes:
    sources: names of text. size: a preset; or config: a `config.json`; or parent: a model's folder to go on from.
    tokenizer: bpe, char, or a folder. minutes, tokens, epochs: the budget, at most one of them.
    length, rows, rate, decay, warm_up, warm_down: of the recipe. probes: prompts whose next token is watched.
    mix: text that is learned from beside dialogues. lora: the rank of an adapter that alone learns.
    keep: checkpoints before the last. today: the day on which the run began, as 2026-11-27: chat templates may write it.
    """

    sources: tuple[str, ...] = ()
    size: str | None = None
    config: str | None = None
    parent: str | None = None
    tokenizer: str | None = None
    vocab_size: int | None = None
    minutes: float | None = None
    tokens: float | None = None
    epochs: float | None = None
    seed: int | None = None
    valid: str | None = None
    strict: bool | None = None
    device: str | None = None
    dtype: str | None = None
    threads: int | None = None
    compile: bool | None = None
    length: int | None = None
    rows: int | None = None
    rate: float | None = None
    decay: float | None = None
    warm_up: float | None = None
    warm_down: float | None = None
    probes: tuple[str, ...] = ()
    keep: int | None = None
    mix: str | None = None
    lora: int | None = None
    today: str | None = None

    def __post_init__(self) -> None:
        for names in (("minutes", "tokens", "epochs"), ("size", "config", "parent")):
            given = [name for name in names if getattr(self, name) is not None]
            if len(given) > 1:
                raise LiuliError(f"--{option(given[0])} and --{option(given[1])} cannot both be given: choose one")
        if self.parent and (self.tokenizer or self.vocab_size):
            raise LiuliError("--from brings the model's own tokenizer: leave out --tokenizer and --vocab-size")
        check(self, "minutes tokens epochs", lambda value: value is None or is_positive(value), "a number above 0")
        check(self, "lora", lambda value: value is None or is_size(value), "a whole number above 0", "the rank of ")
        check(self, "length rows", lambda value: value is None or is_size(value), "a whole number above 0", "a run's ")
        check(self, "threads", lambda value: value is None or is_size(value), "a whole number above 0", "the number of ")
        whole = lambda value: value is None or (type(value) is int and value >= 0)
        check(self, "seed keep", whole, "a whole number of at least 0")

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "Job":
        known = {field.name for field in fields(cls)}
        lists: dict[str, Any] = {name: tuple(value) for name, value in body.items() if isinstance(value, list)}
        return cls(**{name: lists.get(name, value) for name, value in body.items() if name in known})

    def located(self) -> "Job":
        """With paths that hold from any folder."""
        found: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        found["sources"] = tuple(_located(name) for name in self.sources)
        for name in ("config", "parent", "tokenizer", "valid", "mix"):
            if found[name] not in (None, "bpe", "char", "content"):  # a file of such a name is ./bpe
                found[name] = _located(found[name])
        return Job(**found)

    def differences(self, other: "Job") -> dict[str, tuple[Any, Any]]:
        """Of the fields that were said here, those that `other` has otherwise: name -> (here, there)."""
        pairs = {field.name: (getattr(self, field.name), getattr(other, field.name)) for field in fields(self)}
        return {name: pair for name, pair in pairs.items() if pair[0] not in (None, ()) and pair[0] != pair[1]}


def option(name: str) -> str:
    """A field's name on the command line."""
    return {"parent": "from", "rate": "lr", "probes": "probe"}.get(name, name.replace("_", "-"))


def _located(name: str) -> str:
    """An existing path made absolute; any other name (hub:…, -, bpe, content, owner/model) as it is."""
    return str(Path(name).resolve()) if name and name != "-" and Path(name).exists() else name
