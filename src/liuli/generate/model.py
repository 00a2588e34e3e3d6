"""`liuli.load`: the decoder and the tokenizer of a folder, as a model that completes prompts."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import torch

from liuli.devices import find_device, find_dtype
from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.generate.completion import Completion
from liuli.generate.constraints.grammar import Grammar
from liuli.generate.constraints.short_schema import short_schema
from liuli.generate.defaults import default_sampling
from liuli.generate.engine import Engine
from liuli.generate.record import StepRecord
from liuli.generate.request import Request, token_ids
from liuli.generate.sampling import Sampling
from liuli.hub import find_model, model_in, what_holds
from liuli.model.adapters.peft_folder import hash_adapter
from liuli.model.adapters.peft_folder import load as load_adapter
from liuli.model.config import Config
from liuli.model.decoder import Decoder, Tap
from liuli.model.formats.detect import hash_model, read_decoder
from liuli.tokens import TextStream, Tokenizer
from liuli.tokens.chat.chat import Chat, has_template
from liuli.tokens.formats.config import read_end_ids
from liuli.tokens.formats.detect import find_tokenizer

SETTINGS = (  # of `Model.stream`
    *("max_tokens", "seed", "stop", "candidates", "stop_ids", "grammar", "schema", "tap"),
    *Sampling.__dataclass_fields__,
)


class Model:
    """A model from a folder.

    Attributes:
        path: the name that it was opened by. folder: where it is.
        decoder: a torch module, ids (B, T) int64 -> logits (B, T, V).
        tokenizer: None if the folder has none.
        adapter: the folder of the adapter that it was opened with, or None.
        stop_ids: the end-of-text ids that `generation_config.json` (or `config.json`) names and the model has.
        sampling: the folder's own default settings; temperature 0.8 if it has none. sampling_source: where those in
            sampling_named are from; the others are `Sampling`'s own.
    """

    def __init__(self, path: str, folder: Path, decoder: Decoder, tokenizer: Tokenizer | None, adapter: Path | None = None):
        self.path = path
        self.folder = folder
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.adapter = adapter
        generation = adapter if adapter and (adapter / "generation_config.json").is_file() else folder
        self.stop_ids = read_end_ids(generation, decoder.config.vocab_size) or read_end_ids(folder, decoder.config.vocab_size)
        whose = "the adapter" if generation == adapter else what_holds(folder)
        found = default_sampling(generation, whose, decoder.config.vocab_size, self.stop_ids)
        self.sampling, self.sampling_source, self.sampling_named = found

    @property
    def config(self) -> Config:
        return self.decoder.config

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the folder's tensors: the model's identity (see `hash_model`)."""
        return hash_model(self.folder)

    @cached_property
    def stage(self) -> str | None:
        """The stage in its model card or its adapter's: base, assistant, adapter; None if there is no card."""
        return read_json((self.adapter or self.folder) / "liuli.json").get("stage")

    @cached_property
    def chat(self) -> Chat:
        """How messages become its ids: by its chat template, or its adapter's if that has one.

        Raises:
            LiuliError: there is no tokenizer; what `Chat.open` raises.
        """
        if self.tokenizer is None:
            raise LiuliError(f"{self.path} contains no tokenizer, so it cannot chat: add its tokenizer files")
        folder = self.adapter if self.adapter and has_template(self.adapter) else self.folder
        return Chat.open(folder, self.tokenizer)

    def identity(self) -> dict[str, Any]:
        """Path and hash, and those of the adapter, for JSON."""
        found: dict[str, Any] = {"path": self.path, "hash": self.hash}
        if self.adapter:
            found["adapter"] = {"path": str(self.adapter), "hash": hash_adapter(self.adapter)}
        return found

    def complete(self, prompt: str | Sequence[int], **settings: Any) -> Completion:
        """Completes `prompt` (text, or ids) to its end; the settings are those of `stream`."""
        completion, steps = self.stream(prompt, **settings)
        for _ in steps:
            pass
        return completion

    def stream(
        self,
        prompt: str | Sequence[int],
        max_tokens: int = 64,
        seed: int | None = None,
        stop: Sequence[str] = (),
        candidates: int | None = None,
        stop_ids: Sequence[int] = (),
        grammar: Grammar | None = None,
        schema: Mapping[str, Any] | str | None = None,
        tap: Tap | None = None,
        **sampling: Any,
    ) -> tuple[Completion, Iterator[StepRecord]]:
        """A completion, and the steps that make it grow as they are taken from the iterator.

        Args:
            prompt: text, in which special strings are read and which gets the begin token; or ids, taken as they are.
            seed: the same seed makes the same choices; by default one is chosen at random.
            candidates: how many of the most likely tokens to record at each step; None records no scores.
            stop_ids: ids that end it, in addition to the model's own.
            grammar: what the completion must look like. It is then complete and valid within `max_tokens`, whatever the model
                prefers. schema: instead, a JSON Schema, or a short one such as "name, age int".
            tap: a function that every pass calls at the decoder's points; see docs/taps.md.
            sampling: fields of `Sampling`; those not given are the folder's own.

        Raises:
            LiuliError: settings out of range, an empty prompt, a prompt that does not fit; what `Grammar` and its
                `start` raise; a step that cannot be chosen.
        """
        unknown = sampling.keys() - Sampling.__dataclass_fields__
        if unknown:
            raise LiuliError(f"there is no setting {min(unknown)!r}; settings: {', '.join(SETTINGS)}")
        if grammar is not None and schema is not None:
            raise LiuliError("grammar and schema cannot be used together: give one of them")
        if schema is not None:
            grammar = Grammar.of_schema(short_schema(schema) if isinstance(schema, str) else schema)
        ids = self._ids(prompt)
        request = Request(
            ids,
            replace(self.sampling, **sampling),
            max_tokens,
            secrets.randbits(32) if seed is None else seed,
            stop,
            (*self.stop_ids, *token_ids(stop_ids, "stop_ids")),
            candidates,
            constraint=grammar,
        )
        engine = Engine(self.decoder, self.tokenizer, slots=1, tap=tap)
        engine.submit(request)
        text = prompt if isinstance(prompt, str) else self.tokenizer and _text(self.tokenizer, ids)
        completion = Completion(text, list(ids), request.seed, request.sampling)
        return completion, _run(engine, completion)

    def _ids(self, prompt: str | Sequence[int]) -> Sequence[int]:
        if not isinstance(prompt, str):
            try:
                return token_ids(prompt, "a prompt")
            except LiuliError:
                raise LiuliError(f"a prompt must be a text or a list of ids, not {shortened(prompt)}") from None
        if self.tokenizer is None:
            raise LiuliError(
                f"{self.path} contains no tokenizer: add its tokenizer files (from Python, give the prompt as ids)"
            )
        return self.tokenizer.encode(prompt, prompt=True)


def load(
    path: str | Path,
    device: str = "cpu",
    dtype: str | torch.dtype = "fp32",
    pattern: str | None = None,
    adapter: str | Path | None = None,
) -> Model:
    """Opens the model in a folder, or the hub's `owner/model`.

    Args:
        device: "cpu", "cuda" or "mps". dtype: "fp32", "bf16" or "fp16". pattern: see `open_tokenizer`.
        adapter: the folder of an adapter to use with it, or of the run that trained it. If the adapter has a tokenizer or a
            `generation_config.json`, they replace the model's own.

    Raises:
        LiuliError: what `find_model`, `read_decoder`, `open_tokenizer` and `peft_folder.load` raise; a tokenizer whose
            vocabulary has more ids than the model; a device that this machine does not have.
    """
    number = find_dtype(dtype) if isinstance(dtype, str) else dtype
    folder = find_model(path, weights=True)
    # The tokenizer first: opening a large one takes memory for a moment, before the decoder is in memory.
    adapter_folder = None if adapter is None else model_in(Path(adapter))
    tokenizer = None if adapter_folder is None else find_tokenizer(adapter_folder, pattern)
    tokenizer = tokenizer or find_tokenizer(folder, pattern)
    decoder = read_decoder(folder, find_device(device), number)
    if adapter_folder is not None:
        load_adapter(decoder, adapter_folder, str(adapter), folder)
    if tokenizer is not None:
        tokenizer.fit(decoder.config.vocab_size, str(path))
    return Model(str(path), folder, decoder, tokenizer, adapter_folder)


def _text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """As `decode`, but also for ids that only the model has, since its embedding may be larger than the vocabulary."""
    stream = TextStream(tokenizer)
    return "".join(map(stream.push, ids)) + stream.finish()


def _run(engine: Engine, completion: Completion) -> Iterator[StepRecord]:
    while engine.busy:
        for record in engine.step():
            completion.add(record)
            if record.finish_reason == "error":
                raise LiuliError(f"token {record.index}: {record.error}")
            yield record
