"""An assistant from a model and dialogues: only its replies, and the tokens that end them, are supervised."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from liuli.data.dialogues.dialogues import Dialogues
from liuli.data.packing.dialogue_pieces import DialoguePieces
from liuli.data.packing.pieces import Piece
from liuli.data.records.source_files import SourceFile
from liuli.data.split import DialogueSplit, TextSplit, split_dialogues, split_texts
from liuli.data.text.sources import Sources
from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.learn.prepare.job import FINETUNE, Job
from liuli.learn.prepare.model import open_decoder, open_frozen
from liuli.learn.prepare.paths import check_complete
from liuli.learn.prepare.tokenizer_files import copy_with_generation_config
from liuli.learn.rows.dialogue_rows import DialogueRows, MixedRows
from liuli.learn.rows.rows import Cursor, Rows
from liuli.learn.rows.text_rows import TextRows
from liuli.learn.run.sampler import SamplePrompt
from liuli.learn.run.trace import Probe
from liuli.learn.stages.stage import Parent, Stage, Tokenization, TrainingPlan
from liuli.learn.step.recipe import LONGEST, Recipe, for_published
from liuli.model.adapters import lora, peft_folder
from liuli.model.adapters.token_rows import TokenRows, never_met
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import hash_model, read_config, stored_config
from liuli.model.formats.hugging_face import write_decoder
from liuli.tokens import open_tokenizer
from liuli.tokens.chat.chat import Chat, has_template
from liuli.tokens.chat.specials import make_conversational
from liuli.units import counted
from liuli.watch import Watch

ADAPTER = "default"
RATE, LORA_RATE = 0.01, 0.02  # Muon's: about half of a new model's; A and B are small and tolerate more (docs/lab-log.md)
ALPHA = 2  # times the rank
PROBES = 3  # if no prompts are given: the first prompts of so many held-out dialogues


@dataclass(frozen=True, slots=True)
class DialogueData:
    """Dialogues, divided into a training and a validation split; `mix`: text that is trained on too."""

    division: DialogueSplit
    mix: TextSplit | None
    parent: Parent

    @property
    def files(self) -> list[SourceFile]:
        other = self.division.other
        mixed = self.mix.sources.files if self.mix else []
        return [*self.division.dialogues.files, *(other.files if other else ()), *mixed]

    @property
    def validation_rule(self) -> str:
        return self.division.how


@dataclass(frozen=True, slots=True)
class DialogueCorpus:
    """Dialogues as ids, all of them encoded once.

    Attributes:
        context: of the model, in tokens. learned, measured: the dialogues trained on and those held out.
        first_prompts: the first prompts of a few held-out dialogues, which leave room for a reply.
    """

    data: DialogueData
    chat: Chat
    seed: int
    strict: bool
    context: int
    learned: DialoguePieces
    measured: DialoguePieces
    first_prompts: tuple[str, ...]

    @property
    def length(self) -> int:
        return self.learned.length

    def with_length(self, length: int) -> "DialogueCorpus":
        division = self.data.division
        learned = self.learned.with_length(length, lambda length: _learned(division, self.chat, length, self.strict))
        measured = self.measured.with_length(length, lambda length: _measured(division, self.chat, length, self.strict))
        return replace(self, learned=learned, measured=measured)

    def document_lengths(self) -> tuple[list[int], bool]:
        return [len(piece.ids) for piece in self.learned.pieces], True

    def rows(self, recipe: Recipe, cursor: Cursor | None = None, epochs: int | None = None) -> Rows:
        tokenizer, mix = self.chat.tokenizer, self.data.mix
        empty = (tokenizer.end or [self.chat.stop])[0]
        pieces, length = self.learned.pieces, recipe.length
        if mix is None:
            return DialogueRows(pieces, length, self.seed, empty, epochs, cursor)
        if recipe.rows < 2:
            raise LiuliError("with --mix a batch needs at least 2 sequences, one of them text; give --rows 2 or more")
        of_dialogues, of_text = MixedRows.parted(cursor)
        dialogues = DialogueRows(pieces, length, self.seed, empty, epochs, of_dialogues)
        return MixedRows(dialogues, TextRows(mix, tokenizer, length, self.seed, None, recipe.buffer, of_text))

    def validation(self) -> Iterator[Piece]:
        return iter(self.measured.pieces)

    def notes(self) -> Iterator[str]:
        learned, measured, mix = self.learned, self.measured, self.data.mix
        yield from learned.notes
        yield from measured.notes
        yield from (f"skipped {each}" for each in (mix.sources.skipped if mix else ()))
        yield from learned.cuts.lines(self.length)
        yield from (f"held out: {line}" for line in measured.cuts.lines(self.length))
        if self.data.division.shared:
            shared = counted(self.data.division.shared, "held-out dialogue")
            yield f"the first prompt of {shared} is also in the training data"

    def prompts(self) -> list[str]:
        return list(self.first_prompts)

    def probe(self, prompt: str) -> Probe:
        return Probe(prompt, [self.chat.tokenizer.token(id) for id in self.chat.question(prompt)])

    def sample_prompt(self) -> SamplePrompt:
        """The first held-out question."""
        prompt = next(iter(self.first_prompts), "?")  # perhaps no held-out question fits the context
        stops = tuple({self.chat.stop, *self.chat.tokenizer.end})
        return SamplePrompt(prompt, tuple(self.chat.question(prompt)), stops)

    def token_ids(self) -> set[int]:
        """All ids in the training dialogues."""
        return {id for piece in self.learned.pieces for id in piece.ids.tolist()}


class Finetune(Stage):
    """Trains on the replies in dialogues, each predicted from the messages before it."""

    name, command = "assistant", "liuli finetune"

    def recipe(self, job: Job, config: Config) -> dict[str, Any]:
        lora = job.model.lora is not None
        return for_published(config, lora) or {"rate": LORA_RATE if lora else RATE}

    def longest_row(self, config: Config) -> int:
        """Answers are never split, so rows are as long as the model's context, up to a limit."""
        return min(config.context, LONGEST[-1][1])

    def open(self, job: Job, watch: Watch | None = None) -> DialogueData:
        check_complete(job, FINETUNE)
        assert job.model.parent
        if job.data.text_field and job.data.mix is None:
            raise LiuliError("--text-field is for the text of --mix: add --mix, or leave out --text-field")
        strict, mix = bool(job.data.strict), None
        division = split_dialogues(Dialogues(list(job.data.sources), strict, watch=watch), job.data.valid or "content")
        if job.data.mix is not None:
            mix = split_texts(Sources([job.data.mix], strict, watch=watch, fields=job.data.text_field))
        return DialogueData(division, mix, Parent(job.model.parent))

    def tokenize(self, job: Job, data: DialogueData, folder: Path, kept: Path | None) -> Tokenization:
        if kept is not None:
            tokenizer = open_tokenizer(kept)
            return Tokenization(tokenizer, Chat.open(kept, tokenizer, job.run.today))
        parent = data.parent.folder
        folder.mkdir(exist_ok=True)
        rows = read_config(parent).vocab_size
        copy_with_generation_config(parent, open_tokenizer(parent), folder, rows)
        return Tokenization(*make_conversational(folder, rows, job.run.today))

    def config(self, job: Job, data: DialogueData, tokenization: Tokenization, kept: Path | None) -> Config:
        """The parent's, with rows of the embedding for the tokens that were added."""
        config = read_config(kept) if kept is not None and job.model.lora is None else stored_config(data.parent.folder)
        if tokenization.added:
            config = replace(config, vocab_size=max(config.vocab_size, tokenization.tokenizer.vocab_size))
        tokenization.tokenizer.fit(config.vocab_size, data.parent.name)
        return config

    def encode(self, job: Job, data: DialogueData, tokenization: Tokenization, config: Config, length: int) -> DialogueCorpus:
        assert tokenization.chat is not None
        chat, strict = tokenization.chat, bool(job.data.strict)
        learned = _learned(data.division, chat, length, strict)
        measured = _measured(data.division, chat, length, strict)
        every = (dialogue.first_prompt for dialogue in data.division.validation())
        fitting = (prompt for prompt in every if len(chat.question(prompt)) <= config.context // 2)
        prompts = tuple(islice(fitting, PROBES))
        return DialogueCorpus(data, chat, job.seed, strict, config.context, learned, measured, prompts)

    def decoder(self, plan: TrainingPlan, device: torch.device, kept: Path | None) -> Decoder:
        assert isinstance(plan.data, DialogueData) and isinstance(plan.corpus, DialogueCorpus)
        rank = plan.job.model.lora
        if rank is not None:
            parent = plan.data.parent.folder
            decoder = open_frozen(parent, plan.config, device)
            if kept is None:
                _add_adapter(decoder, plan, rank, parent)
            else:
                peft_folder.load(decoder, kept, ADAPTER, parent)
                lora.learn(decoder, ADAPTER)
            return decoder
        if kept is not None:
            return open_decoder(kept, plan.config, device)
        parent = plan.data.parent.folder
        decoder = open_decoder(parent, plan.config, device)
        if (like := _like(parent, plan.tokenization)) is not None:
            decoder.copy_token(like, plan.corpus.chat.special_ids())
        return decoder

    def write_model(self, plan: TrainingPlan, decoder: Decoder, folder: Path) -> str:
        """The whole model, or the adapter in PEFT's format."""
        if plan.job.model.lora is None:
            write_decoder(decoder, folder)
            return hash_model(folder)
        parent = plan.data.parent
        assert parent is not None
        peft_folder.save(decoder, folder, parent.name, parent.hash)
        return peft_folder.hash_adapter(folder)

    def notes(self, plan: TrainingPlan, decoder: Decoder) -> Iterator[str]:
        chat = plan.tokenization.chat
        assert chat is not None
        yield f"chat template: {chat.origin}"
        if plan.tokenization.added:
            yield f"special tokens added for the chat template: {plan.tokenization.added}"
        if plan.job.model.lora is not None:
            written = chat.special_ids()
            texts = ", ".join(plan.tokenization.tokenizer.token(id).text for id in written)
            yield f"LoRA also trains the embedding rows of the chat template's tokens: {texts}"
            rows = next((module for module in decoder.modules() if isinstance(module, TokenRows)), None)
            others = 0 if rows is None else len(rows.tokens_C) - len(written)
            if others:
                unseen = f"{counted(others, 'dialogue token')} that the base model has never seen"
                yield f"LoRA also trains the embedding rows of {unseen}"


def _learned(division: DialogueSplit, chat: Chat, length: int, strict: bool) -> DialoguePieces:
    """Raises LiuliError: no answer fits a row; what `pieces_of_dialogues` raises."""
    found = DialoguePieces.encode(division.training(), division.dialogues, chat, length, strict)
    if not found.pieces:
        raise LiuliError(
            f"there is nothing to learn from: no answer fits into {counted(length, 'token')} together with its question; give "
            f"a larger --length"
        )
    return found


def _measured(division: DialogueSplit, chat: Chat, length: int, strict: bool) -> DialoguePieces:
    return DialoguePieces.encode(division.validation(), division.other, chat, length, strict)


def _like(parent: Path, tokenization: Tokenization) -> int | None:
    """The token whose embedding row is copied to the template's tokens before training: the one that bounds documents. None if
    the parent may know the template's tokens: it was not trained here, or it was started from a model with a template."""
    bounds = tokenization.tokenizer.begin or tokenization.tokenizer.end
    made_here = read_json(parent / "liuli.json").get("stage") == "base" and not has_template(parent)
    return bounds[0] if made_here and bounds else None


def _add_adapter(decoder: Decoder, plan: TrainingPlan, rank: int, parent: Path) -> None:
    """LoRA at every projection, and rows of the embedding for tokens that the base model has never seen.

    Raises:
        LiuliError: the embedding has no rows for the template's tokens.
    """
    assert isinstance(plan.corpus, DialogueCorpus)
    if lacking := plan.config.vocab_size - read_config(parent).vocab_size:
        raise LiuliError(
            f"the model's embedding has no rows for {lacking} tokens of the chat template, and LoRA cannot add rows: fine-tune "
            f"it without --lora"
        )
    written, tokenizer, unmet = plan.corpus.chat.special_ids(), plan.tokenization.tokenizer, []
    like = _like(parent, plan.tokenization)
    if like is not None:
        unused = {*tokenizer.specials.values()}.difference(tokenizer.begin, tokenizer.end, tokenizer.missing)
        unmet = never_met(decoder, sorted(unused), plan.corpus.token_ids().difference(written))
    settings = lora.LoRASettings(rank, ALPHA * rank, tokens=(*written, *unmet))
    lora.add(decoder, settings, plan.job.seed, ADAPTER, like)
