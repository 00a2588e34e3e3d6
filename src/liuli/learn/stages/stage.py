"""A stage of a model's life: what is learned from, and how its model is made, opened and kept.

The course of a run (`course.py`) is the same for all; each stage is a module of its own: `pretrain.py`, `finetune.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from liuli.data.packing.pieces import Piece
from liuli.learn.prepare import material
from liuli.learn.prepare.job import Job
from liuli.learn.rows.rows import Cursor, Rows
from liuli.learn.run.state import file_hash
from liuli.learn.run.trace import Probe
from liuli.learn.step.recipe import Recipe
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.formats.families import read_config
from liuli.model.formats.hugging_face import hash_folder, write_decoder
from liuli.tokens import Tokenizer


@dataclass(frozen=True, slots=True)
class Sample:
    """What a run goes on from, now and then, to be read: `text` for people, its ids, and the ids that end what is written."""

    text: str
    ids: list[int]
    stops: tuple[int, ...]


class Stage(ABC):
    """Attributes:
    name: of the stage, in a model's card. command: what begins a run of it.
    tokenizer: once it was made or opened. held_out_how: which part is held out, for people.
    """

    name: ClassVar[str]
    command: ClassVar[str]
    tokenizer: Tokenizer
    held_out_how: str

    def __init__(self, job: Job):
        self.job = job

    @abstractmethod
    def open(self) -> None:
        """Finds the data. Raises LiuliError: there is none, or too little to hold some out."""

    @property
    def recipe(self) -> dict[str, Any]:
        """Fields of the recipe that it has otherwise than the rules of `recipe.py` say."""
        return {}

    @property
    def longest_row(self) -> int | None:
        """In places, where no length was asked for; None: as the model's size says."""
        return None

    @property
    def seed(self) -> int:
        return self.job.seed or 0

    @abstractmethod
    def files(self) -> Iterable[Any]:
        """All `liuli.data.records.source_files.SourceFile`s that are read."""

    @abstractmethod
    def notes(self, length: int) -> Iterator[str]:
        """What people should know before the first step: what of the data is not used in rows of `length`, as far as it was
        read, and why."""

    @abstractmethod
    def make_tokenizer(self, folder: Path) -> None:
        """The tokenizer that the job asks for, in a folder of its own."""

    def open_tokenizer(self, folder: Path) -> None:
        """The tokenizer in a folder where a run has kept it."""
        self.tokenizer = material.open_tokenizer(folder)

    def config(self) -> Config:
        """The model's shape."""
        return material.config_of(self.job, self.tokenizer)

    @abstractmethod
    def lengths(self) -> tuple[list[int], bool]:
        """Tokens of the first documents or dialogues, and whether these are all."""

    @abstractmethod
    def rows(self, recipe: Recipe, cursor: Cursor | None = None, epochs: int | None = None) -> Rows:
        """What the steps read."""

    @abstractmethod
    def held_out(self, length: int) -> Iterator[Piece]:
        """What the model is measured on, in windows of at most `length` places."""

    @abstractmethod
    def prompts(self) -> Iterator[str]:
        """What is watched where the job names no prompts."""

    @abstractmethod
    def probe(self, prompt: str) -> Probe:
        """A prompt as the model reads it."""

    @abstractmethod
    def sample(self) -> Sample: ...

    def make_decoder(self, config: Config, device: torch.device) -> Decoder:
        """As it is before the first step."""
        return material.make_decoder(config, self.job, device)

    def open_decoder(self, folder: Path, config: Config, device: torch.device) -> Decoder:
        """As it was kept in a checkpoint's `model` folder."""
        return material.open_decoder(folder, config, device)

    def kept_config(self, folder: Path) -> Config:
        """The shape of what was kept there."""
        return read_config(folder)

    def write_model(self, decoder: Decoder, folder: Path) -> str:
        """Keeps it; its hash."""
        write_decoder(decoder, folder)
        return hash_folder(folder)

    def data(self) -> list[dict[str, Any]]:
        """Name, size and hash of every file."""
        return [{"name": file.name, "bytes": file.stamp[0], "sha256": file_hash(file.path)} for file in self.files()]
