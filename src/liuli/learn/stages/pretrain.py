"""A base model from text."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from liuli.data.packing.pieces import Piece
from liuli.data.records.source_files import SourceFile
from liuli.data.split import split_texts
from liuli.data.text.sources import Sources
from liuli.errors import LiuliError
from liuli.evaluate.loss import pieces_of
from liuli.learn.prepare import material
from liuli.learn.prepare.course import follow
from liuli.learn.rows.rows import Cursor
from liuli.learn.rows.text_rows import TextRows
from liuli.learn.run.trace import Probe
from liuli.learn.stages.stage import Sample, Stage
from liuli.learn.step.recipe import Recipe

PROBES, PROBE_TOKENS = 3, 12  # where no prompts are named: so many held-out documents, to so many tokens


class Text(Stage):
    """Every token of a text is to be predicted."""

    name, command = "base", "liuli train"

    def open(self) -> None:
        if not self.job.sources:
            raise LiuliError("there is nothing to train on: name files or folders of text")
        sources = Sources(list(self.job.sources), bool(self.job.strict))
        self.split = split_texts(sources, self.job.valid or "content")
        self.held_out_how = self.split.how

    def files(self) -> Iterable[SourceFile]:
        other = self.split.other
        return [*self.split.sources.files, *(other.files if other else ())]

    def notes(self, length: int) -> Iterator[str]:
        return (f"skipped {each}" for each in self.split.sources.skipped)

    def make_tokenizer(self, folder: Path) -> None:
        self.tokenizer = material.make_tokenizer(self.job, self.split, folder)

    def lengths(self) -> tuple[list[int], bool]:
        return material.document_lengths(self.split, self.tokenizer)

    def rows(self, recipe: Recipe, cursor: Cursor | None = None, epochs: int | None = None) -> TextRows:
        return TextRows(self.split, self.tokenizer, recipe.length, self.seed, epochs, recipe.buffer, cursor)

    def held_out(self, length: int) -> Iterator[Piece]:
        return pieces_of(self.split.validation(), self.tokenizer, length)

    def prompts(self) -> Iterator[str]:
        """How a few held-out documents begin."""
        for document in islice(self.split.validation(), PROBES):
            ids = self.tokenizer.encode(document.text[: 20 * PROBE_TOKENS])[:PROBE_TOKENS]
            yield self.tokenizer.decode(ids).rstrip("\N{REPLACEMENT CHARACTER}")

    def probe(self, prompt: str) -> Probe:
        return Probe(prompt, self.tokenizer.tokens(prompt, prompt=True))

    def sample(self) -> Sample:
        """From nothing."""
        return Sample("", self.tokenizer.begin or self.tokenizer.end, tuple(self.tokenizer.end))


pretrain = partial(follow, Text)  # Trains a base model on the job's `sources` in a folder
