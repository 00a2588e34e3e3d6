"""A stage of training: the data, how it is encoded, the model, and the objective.

A run goes through these values. Each is made from the ones before, and none changes later:

    data = stage.open(job)                                    the files, and which part is held out
    tokenization = stage.tokenize(job, data, folder, kept)    how text becomes ids
    config = stage.config(job, data, tokenization, kept)      the model's shape
    corpus = stage.encode(job, data, tokenization, config, length)
                                                              what is learned from and measured on, in rows of `length`
    decoder = stage.decoder(plan, device, kept)               `TrainingPlan` holds all of the above

To a stage a new run and a resumed one differ in `kept` alone: the folder of the model in the last checkpoint, None in a new
run. (`Setup.training` also restores where the rows were, and the optimizer's state.)
`learn/run_stage.py` takes a stage through a run. CONTRIBUTING.md lists what belongs to a new stage.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from liuli.data.packing.pieces import Piece
from liuli.data.records.source_files import SourceFile
from liuli.hub import find_model
from liuli.learn.prepare.job import Job
from liuli.learn.rows.rows import Cursor, Rows
from liuli.learn.run.sampler import SamplePrompt
from liuli.learn.run.trace import Probe
from liuli.learn.step.objectives import Hidden, NextToken, Objective
from liuli.learn.step.recipe import Recipe
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import hash_model
from liuli.tokens import Tokenizer
from liuli.tokens.chat.chat import Chat
from liuli.watch import Watch


@dataclass(frozen=True)
class Parent:
    """The model that a run starts from: a folder's path, or a name on the hub. It is looked up when it is needed, since a run
    that is resumed from a complete model does not need its parent."""

    name: str

    @cached_property
    def folder(self) -> Path:
        """Raises LiuliError: there is no such model."""
        return find_model(self.name, weights=True)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over its tensors (see `hash_model`)."""
        return hash_model(self.folder)


class Data(Protocol):
    """The files that a run reads, and which part of them is held out."""

    @property
    def parent(self) -> Parent | None: ...

    @property
    def files(self) -> list[SourceFile]:
        """All of them, those held out included."""
        ...

    @property
    def validation_rule(self) -> str:
        """Which part is held out, for people."""
        ...


@dataclass(frozen=True, slots=True)
class Tokenization:
    """How text becomes ids. `chat`: the template of conversations, if the stage has them; `added`: how many special tokens
    were added for it."""

    tokenizer: Tokenizer
    chat: Chat | None = None
    added: int = 0


class Corpus(Protocol):
    """The training and validation data, in rows of `length` tokens."""

    @property
    def length(self) -> int: ...

    def with_length(self, length: int) -> "Corpus":
        """The same in rows of another length."""
        ...

    def document_lengths(self) -> tuple[list[int], bool]:
        """Tokens of the first documents or dialogues, and whether these are all."""
        ...

    def rows(self, recipe: Recipe, cursor: Cursor | None = None, epochs: int | None = None) -> Rows:
        """The rows that the steps read: endless, or for some epochs; from the beginning, or from a cursor."""
        ...

    def validation(self) -> Iterator[Piece]:
        """The validation data, in pieces of at most `length` positions."""
        ...

    def notes(self) -> Iterator[str]:
        """Messages before the first step: which part of the data read so far is not used, and why."""
        ...

    def prompts(self) -> list[str]:
        """The prompts to track if the job names none."""
        ...

    def probe(self, prompt: str) -> Probe:
        """A prompt as the model reads it."""
        ...

    def sample_prompt(self) -> SamplePrompt: ...


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything that a decoder is made from."""

    job: Job
    data: Data
    tokenization: Tokenization
    config: Config
    corpus: Corpus


class Stage(ABC):
    """Attributes:
    name: of the stage, in a model card. command: the command that starts a run of it.
    """

    name: ClassVar[str]
    command: ClassVar[str]

    @abstractmethod
    def open(self, job: Job, watch: Watch | None = None) -> Data:
        """Finds the data and the parent. `watch` is called as files are read.

        Raises:
            LiuliError: there is none, or too little to hold some out.
        """

    @abstractmethod
    def tokenize(self, job: Job, data: Any, folder: Path, kept: Path | None) -> Tokenization:
        """The tokenizer that the job asks for, made in a folder of its own; or the one in `kept`."""

    def tokenizer_origin(self, job: Job, data: Any) -> dict[str, Any] | None:
        """Everything that the tokenizer is trained from, as JSON: from the same, the same is trained. None: none is trained."""
        return None

    @abstractmethod
    def config(self, job: Job, data: Any, tokenization: Tokenization, kept: Path | None) -> Config:
        """The model's shape; its context is set to the length of the rows later."""

    @abstractmethod
    def encode(self, job: Job, data: Any, tokenization: Tokenization, config: Config, length: int) -> Corpus:
        """The training and validation data. Raises LiuliError: there is nothing to learn from."""

    @abstractmethod
    def decoder(self, plan: TrainingPlan, device: torch.device, kept: Path | None) -> Decoder:
        """The model before the first step, or as it was saved."""

    @abstractmethod
    def write_model(self, plan: TrainingPlan, decoder: Decoder, folder: Path) -> str:
        """Saves the model. Returns its hash."""

    def recipe(self, job: Job, config: Config) -> dict[str, Any]:
        """Fields of the recipe that this stage sets instead of the rules of `step/recipe.py`."""
        return {}

    def longest_row(self, config: Config) -> int | None:
        """In positions, if no length is given; None: as the model's size says."""
        return None

    def objective(self, plan: TrainingPlan, hidden: Hidden | None) -> Objective:
        """What is minimised. A stage that does not train on next tokens overrides it.

        Args:
            hidden: `Decoder.hidden`, compiled; None: the decoder's own.
        """
        return NextToken(hidden)

    def notes(self, plan: TrainingPlan, decoder: Decoder) -> Iterator[str]:
        """Other messages before the first step."""
        return iter(())
