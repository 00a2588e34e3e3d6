"""An assistant from a model and dialogues: only its replies, and the tokens that end them, are to be predicted."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from liuli.data.dialogues.dialogues import Dialogues
from liuli.data.packing.pieces import Piece
from liuli.data.records.source_files import SourceFile
from liuli.data.split import TextSplit, split_dialogues, split_texts
from liuli.data.text.sources import Sources
from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.hub import find_folder
from liuli.learn.prepare import material
from liuli.learn.prepare.course import follow
from liuli.learn.prepare.job import Job
from liuli.learn.rows.dialogue_rows import DialogueRows, Mixed
from liuli.learn.rows.rows import Cursor, Rows
from liuli.learn.rows.sides import Sides
from liuli.learn.rows.text_rows import TextRows
from liuli.learn.run.state import under
from liuli.learn.run.trace import Probe
from liuli.learn.stages.stage import Sample, Stage
from liuli.learn.step.recipe import LONGEST, Recipe
from liuli.model.adapters import lora, peft_folder
from liuli.model.adapters.token_rows import never_met
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.formats.families import read_config
from liuli.model.formats.hugging_face import hash_folder
from liuli.tokens.chat.chat import Chat
from liuli.tokens.chat.specials import make_conversational

ADAPTER = "default"
RATE, LORA_RATE = 0.01, 0.02  # Muon's: about half of a new model's; A and B are small, and bear more (docs/lab-log.md)
ALPHA = 2  # times the rank
PROBES = 3  # where no questions are named: what so many held-out dialogues begin with


class Assistant(Stage):
    """Replies are to be predicted, each from all that was said before it."""

    name, command = "assistant", "liuli finetune"

    def __init__(self, job: Job):
        super().__init__(job)
        self._added = 0
        self._never_met: list[int] = []  # of the dialogues' tokens, by the base, where LoRA learns
        self.mix: TextSplit | None = None

    @property
    def recipe(self) -> dict[str, Any]:
        return {"rate": RATE if self.job.lora is None else LORA_RATE}

    @property
    def longest_row(self) -> int:
        """An answer is cut nowhere: rows as long as the model reads, within reason."""
        return min(self._context, LONGEST[-1][1])

    def open(self) -> None:
        if not self.job.parent:
            raise LiuliError("there is no model to fine-tune: name its folder")
        if not self.job.sources:
            raise LiuliError("there is nothing to learn from: name files or folders of dialogues")
        strict = bool(self.job.strict)
        self.division = split_dialogues(Dialogues(list(self.job.sources), strict), self.job.valid or "content")
        self.held_out_how = self.division.how
        if self.job.mix is not None:
            self.mix = split_texts(Sources([self.job.mix], strict))

    def files(self) -> Iterable[SourceFile]:
        other = self.division.other
        return [
            *self.division.dialogues.files,
            *(other.files if other else ()),
            *(self.mix.sources.files if self.mix else ()),
        ]

    def notes(self, length: int) -> Iterator[str]:
        training, held_out = self._sides.training(length), self._sides.held_out(length)
        yield from training.notes
        yield from held_out.notes
        yield from (f"skipped {each}" for each in (self.mix.sources.skipped if self.mix else ()))
        yield from training.cuts.lines(length)
        yield from (f"held out: {line}" for line in held_out.cuts.lines(length))
        if self.division.shared:
            yield f"{self.division.shared:,} held-out dialogues begin with a prompt that is trained on too"
        yield f"chat template: {self.chat.origin}"
        if self._added:
            yield f"{self._added} special tokens were added for it"
        if self.job.lora is not None:
            written = ", ".join(self.tokenizer.token(id).text for id in self.chat.special_ids())
            yield f"beside LoRA the embedding's rows of {written} are trained, which the template writes"
            if self._never_met:
                yield f"and those of {len(self._never_met):,} tokens of the dialogues which the base has never met"

    def make_tokenizer(self, folder: Path) -> None:
        parent = self._parent()
        folder.mkdir(exist_ok=True)
        material.write_beside(parent, material.open_tokenizer(parent), folder)
        self.tokenizer, self.chat, self._added = make_conversational(folder, self.job.today)
        self._context = read_config(parent).context

    def open_tokenizer(self, folder: Path) -> None:
        super().open_tokenizer(folder)
        self.chat = Chat.open(folder, self.tokenizer, self.job.today)
        self._context = self.kept_config(folder).context

    def lengths(self) -> tuple[list[int], bool]:
        length = self.job.length or self._context
        return [len(piece.ids) for piece in self._sides.training(length).pieces], True

    def config(self) -> Config:
        """The parent's, with as many rows of the embedding as the tokenizer needs."""
        config = read_config(find_folder(self.job.parent or ""))
        return replace(config, vocab_size=max(config.vocab_size, self.tokenizer.vocab_size))

    def rows(self, recipe: Recipe, cursor: Cursor | None = None, epochs: int | None = None) -> Rows:
        pieces = self._sides.training(recipe.length).pieces
        empty = (self.tokenizer.end or [self.chat.stop])[0]
        of = _part("dialogues", cursor) if self.mix else cursor
        if self.mix is not None and recipe.rows < 2:
            raise LiuliError("with --mix a step needs at least 2 rows, one of them text; give --rows 2 or more")
        dialogues = DialogueRows(pieces, recipe.length, self.seed, empty, epochs, of)
        if self.mix is None:
            return dialogues
        text = TextRows(self.mix, self.tokenizer, recipe.length, self.seed, None, recipe.buffer, _part("text", cursor))
        return Mixed(dialogues, text)

    def held_out(self, length: int) -> Iterator[Piece]:
        return iter(self._sides.held_out(length).pieces)

    def prompts(self) -> Iterator[str]:
        """What a few held-out dialogues begin with, which leave room for a reply."""
        every = (dialogue.first_prompt for dialogue in self.division.validation())
        return islice((prompt for prompt in every if len(self._ids(prompt)) <= self._context // 2), PROBES)

    def probe(self, prompt: str) -> Probe:
        return Probe(prompt, [self.tokenizer.token(id) for id in self._ids(prompt)])

    def sample(self) -> Sample:
        """A reply to the first question that is held out."""
        prompt = next(self.prompts(), "?")
        return Sample(prompt, self._ids(prompt), tuple({self.chat.stop, *self.tokenizer.end}))

    def _ids(self, prompt: str) -> list[int]:
        return self.chat.prompt([{"role": "user", "content": prompt}])

    def make_decoder(self, config: Config, device: torch.device) -> Decoder:
        decoder = material.open_decoder(self._parent(), config, device)
        written, like = self.chat.special_ids(), self._like()
        if self.job.lora is not None:
            if lacking := config.vocab_size - read_config(self._parent()).vocab_size:
                raise LiuliError(
                    f"LoRA adds no rows to the embedding, and this model's has none for {lacking} tokens of a conversation: "
                    f"fine-tune it without --lora"
                )
            if like is not None:
                unused = {*self.tokenizer.specials.values()}.difference(self.tokenizer.begin, self.tokenizer.end)
                self._never_met = never_met(decoder, sorted(unused), self._sides.tokens().difference(written))
            settings = lora.Settings(self.job.lora, ALPHA * self.job.lora, tokens=(*written, *self._never_met))
            lora.add(decoder, settings, self.seed, ADAPTER, like)
        elif like is not None:
            decoder.begin_like(written, like)
        return decoder

    def open_decoder(self, folder: Path, config: Config, device: torch.device) -> Decoder:
        if self.job.lora is None:
            return super().open_decoder(folder, config, device)
        decoder = material.open_decoder(self._parent(), config, device)
        peft_folder.load(decoder, folder, ADAPTER, self._parent())
        lora.learn(decoder, ADAPTER)
        return decoder

    def kept_config(self, folder: Path) -> Config:
        return super().kept_config(folder) if self.job.lora is None else self.config()

    def write_model(self, decoder: Decoder, folder: Path) -> str:
        """The whole model, or the adapter in PEFT's format."""
        if self.job.lora is None:
            return super().write_model(decoder, folder)
        peft_folder.save(decoder, folder, str(self.job.parent), self._parent_hash)
        return peft_folder.hash_adapter(folder)

    def _like(self) -> int | None:
        """A base that was made here has never met the template's tokens: they begin as its document's ends, at which it looks
        when it begins, and which it writes when all is said. None for any other model."""
        ends = self.tokenizer.begin or self.tokenizer.end
        return ends[0] if read_json(self._parent() / "liuli.json").get("stage") == "base" and ends else None

    @cached_property
    def _sides(self) -> Sides:
        return Sides(self.division, self.chat, bool(self.job.strict))

    def _parent(self) -> Path:
        return find_folder(self.job.parent or "", weights=True)

    @cached_property
    def _parent_hash(self) -> str:
        return hash_folder(self._parent())


def _part(name: str, cursor: Cursor | None) -> Cursor | None:
    """One of the two that `Mixed` keeps."""
    return cursor and Cursor(cursor.settings[name], under(name, cursor.tensors))


finetune = partial(follow, Assistant)  # Fine-tunes the job's `parent` on the dialogues in its `sources`, in a folder
