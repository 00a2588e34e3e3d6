"""A base model from text: every token is predicted from those before it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from liuli.data.packing.pieces import Piece, encoded
from liuli.data.records.source_files import SourceFile
from liuli.data.split import TextSplit, split_texts
from liuli.data.text.interleave import BEFORE, interleaved, lanes_of
from liuli.data.text.sources import Sources
from liuli.errors import LiuliError
from liuli.evaluate.loss import pieces_of
from liuli.hub import find_model
from liuli.learn.prepare.files import described
from liuli.learn.prepare.job import TRAIN, Job
from liuli.learn.prepare.model import asked_shape, new_decoder, open_decoder
from liuli.learn.prepare.paths import check_complete
from liuli.learn.prepare.tokenizer_files import copy_with_generation_config
from liuli.learn.rows.rows import Cursor
from liuli.learn.rows.text_rows import TextRows
from liuli.learn.run.sampler import SamplePrompt
from liuli.learn.run.trace import Probe
from liuli.learn.stages.stage import Parent, Stage, Tokenization, TrainingPlan
from liuli.learn.step.recipe import Recipe, for_published
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import hash_model, read_config
from liuli.model.formats.hugging_face import write_decoder
from liuli.tokens import Tokenizer, open_tokenizer
from liuli.tokens.sample import SAMPLE_BYTES
from liuli.tokens.train import train as train_tokenizer
from liuli.watch import Watch

PROBES, PROBE_TOKENS = 3, 12  # if no prompts are given: so many held-out documents, so many tokens of each
MEASURED = 1000, 1_000_000  # documents, tokens: how much is read to measure how long documents are
# A run of so many minutes trains its tokenizer on as much text as usual, and a shorter run on less: on 8 MB of Chinese novels,
# this takes 13 s, more than half of the preparation (docs/lab-log.md).
FULL_SAMPLE = 5.0
LEAST_SAMPLE = 500_000  # bytes


@dataclass(frozen=True, slots=True)
class TextData:
    """Text, divided into a training and a validation split."""

    split: TextSplit
    parent: Parent | None

    @property
    def files(self) -> list[SourceFile]:
        other = self.split.other
        return [*self.split.sources.files, *(other.files if other else ())]

    @property
    def validation_rule(self) -> str:
        return self.split.how


@dataclass(frozen=True, slots=True)
class TextCorpus:
    """Text as ids, encoded while it is read."""

    split: TextSplit
    tokenizer: Tokenizer
    seed: int
    length: int

    def with_length(self, length: int) -> "TextCorpus":
        return TextCorpus(self.split, self.tokenizer, self.seed, length)

    def document_lengths(self) -> tuple[list[int], bool]:
        lengths: dict[int, int] = {}
        total, lanes = 0, lanes_of(self.split.sources)
        for part in encoded(interleaved(self.split, lanes, [BEFORE] * len(lanes)), self.tokenizer):
            if (len(lengths) >= MEASURED[0] and part.number not in lengths) or total >= MEASURED[1]:
                return list(lengths.values()), False
            lengths[part.number] = lengths.get(part.number, 0) + len(part.ids)
            total += len(part.ids)
        return list(lengths.values()), True

    def rows(self, recipe: Recipe, cursor: Cursor | None = None, epochs: int | None = None) -> TextRows:
        return TextRows(self.split, self.tokenizer, recipe.length, self.seed, epochs, recipe.buffer, cursor)

    def validation(self) -> Iterator[Piece]:
        return pieces_of(self.split.validation(), self.tokenizer, self.length)

    def notes(self) -> Iterator[str]:
        return (f"skipped {each}" for each in self.split.sources.skipped)

    def prompts(self) -> list[str]:
        """How a few held-out documents begin."""
        found = []
        for document in islice(self.split.validation(), PROBES):
            ids = self.tokenizer.encode(document.text[: 20 * PROBE_TOKENS])[:PROBE_TOKENS]
            found.append(self.tokenizer.decode(ids).rstrip("\N{REPLACEMENT CHARACTER}"))
        return found

    def probe(self, prompt: str) -> Probe:
        return Probe(prompt, self.tokenizer.tokens(prompt, prompt=True))

    def sample_prompt(self) -> SamplePrompt:
        """Only the token that a document begins with."""
        return SamplePrompt("", tuple(self.tokenizer.begin or self.tokenizer.end), tuple(self.tokenizer.end))


class Pretrain(Stage):
    """Trains on all tokens of a text."""

    name, command = "base", "liuli train"

    def open(self, job: Job, watch: Watch | None = None) -> TextData:
        check_complete(job, TRAIN)
        sources = Sources(list(job.data.sources), bool(job.data.strict), watch=watch, fields=job.data.text_field)
        split = split_texts(sources, job.data.valid or "content")
        return TextData(split, None if job.model.parent is None else Parent(job.model.parent))

    def tokenize(self, job: Job, data: TextData, folder: Path, kept: Path | None) -> Tokenization:
        if kept is not None:
            return Tokenization(open_tokenizer(kept))
        kind = _trained_kind(job)
        if kind is not None:
            texts = (document.text for document in data.split.training())
            most = asked_shape(job, None).vocab_size
            sample = _sample_bytes(job)
            train_tokenizer(texts, kind, job.model.vocab_size, most=most, sample_bytes=sample).write(folder)
            return Tokenization(open_tokenizer(folder))
        given = find_model(job.model.tokenizer or "") if data.parent is None else data.parent.folder
        if job.model.vocab_size is not None:
            raise LiuliError(f"--vocab-size is for training a tokenizer, but {given} has its own: leave out --vocab-size")
        tokenizer = open_tokenizer(given)
        rows = asked_shape(job, data.parent and data.parent.folder, tokenizer).vocab_size
        folder.mkdir(exist_ok=True)
        copy_with_generation_config(given, tokenizer, folder, rows)
        return Tokenization(tokenizer)

    def tokenizer_origin(self, job: Job, data: TextData) -> dict[str, Any] | None:
        kind = _trained_kind(job)
        if kind is None:
            return None
        return {
            "files": described(data.files),
            "held_out": data.validation_rule,
            "fields": list(data.split.sources.fields),
            "kind": kind,
            "vocab_size": job.model.vocab_size,
            "most": asked_shape(job, None).vocab_size,
            # A short run may use the tokenizer of a shorter one: who is refused for too little time gives more minutes.
            "whole_sample": _sample_bytes(job) == SAMPLE_BYTES,
        }

    def config(self, job: Job, data: TextData, tokenization: Tokenization, kept: Path | None) -> Config:
        if kept is not None:
            return read_config(kept)
        return asked_shape(job, data.parent and data.parent.folder, tokenization.tokenizer)

    def recipe(self, job: Job, config: Config) -> dict[str, Any]:
        return {} if job.model.parent is None else for_published(config, lora=False)

    def encode(self, job: Job, data: TextData, tokenization: Tokenization, config: Config, length: int) -> TextCorpus:
        return TextCorpus(data.split, tokenization.tokenizer, job.seed, length)

    def decoder(self, plan: TrainingPlan, device: torch.device, kept: Path | None) -> Decoder:
        folder = kept or (plan.data.parent and plan.data.parent.folder)
        if folder is not None:
            return open_decoder(folder, plan.config, device)
        return new_decoder(plan.config, plan.job.seed, device)

    def write_model(self, plan: TrainingPlan, decoder: Decoder, folder: Path) -> str:
        write_decoder(decoder, folder)
        return hash_model(folder)


def _trained_kind(job: Job) -> str | None:
    """The kind of the tokenizer that is trained; None: the model's own or another one is used."""
    kind = job.model.tokenizer or "bpe"
    return kind if job.model.parent is None and kind in ("bpe", "char") else None


def _sample_bytes(job: Job) -> int:
    """How much text the tokenizer is trained on, at most."""
    share = min(1.0, (job.budget.minutes or FULL_SAMPLE) / FULL_SAMPLE)
    return max(LEAST_SAMPLE, int(share * SAMPLE_BYTES))
