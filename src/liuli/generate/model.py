"""`liuli.load`: a folder's decoder and tokenizer together, which can complete a prompt."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import index
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import torch

from liuli.devices import find_device, find_dtype
from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.generate.engine import Engine, Request
from liuli.generate.record import FinishReason, StepRecord
from liuli.generate.sampling import Sampling
from liuli.hub import find_folder
from liuli.model.adapters.peft_folder import hash_adapter
from liuli.model.adapters.peft_folder import load as load_adapter
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.formats.hugging_face import hash_folder, read_decoder
from liuli.tokens import TextStream, Tokenizer
from liuli.tokens.chat.chat import Chat, has_template
from liuli.tokens.formats.config import read_end_ids
from liuli.tokens.formats.detect import find_tokenizer

DEFAULT_TEMPERATURE = 0.8
SAMPLING_FIELDS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


@dataclass(repr=False)
class Completion:
    """What a prompt led to. `seed` makes it again; `ids` include a stop token, `text` does not."""

    prompt: str | None
    prompt_ids: list[int]
    seed: int
    sampling: Sampling
    text: str = ""
    ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    steps: list[StepRecord] = field(default_factory=list)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Completion({shortened(self.text)}, {len(self.ids)} tokens, {self.finish_reason}, seed {self.seed})"

    def add(self, record: StepRecord) -> None:
        self.steps.append(record)
        self.text += record.text
        self.ids += [record.token.id] if record.token else []
        self.finish_reason = record.finish_reason

    def to_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "sampling": self.sampling.to_json(),  # a logit bias of null: banned
            "prompt": {"text": self.prompt, "ids": self.prompt_ids},
            "completion": {"text": self.text, "ids": self.ids, "finish_reason": self.finish_reason},
            "steps": [step.to_json() for step in self.steps],
        }


class Model:
    """A model in a folder.

    Attributes:
        decoder: a torch module, ids (B, T) int64 -> logits (B, T, V). tokenizer: None where the folder has none.
        adapter: the folder of the adapter that it was opened with.
        stop_ids: the end-of-text ids that `generation_config.json` (or `config.json`) names.
        sampling: the folder's own default settings; temperature 0.8 where it has none.
    """

    def __init__(self, path: str, folder: Path, decoder: Decoder, tokenizer: Tokenizer | None, adapter: Path | None = None):
        self.path, self.folder, self.decoder, self.tokenizer = path, folder, decoder, tokenizer
        self.adapter = adapter
        told = adapter if adapter and (adapter / "generation_config.json").is_file() else folder
        self.stop_ids = read_end_ids(told) or read_end_ids(folder)
        self.sampling, self.sampling_source = _default_sampling(told)

    @property
    def config(self) -> Config:
        return self.decoder.config

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the folder's tensors: the model's identity (see `hash_folder`)."""
        return hash_folder(self.folder)

    @cached_property
    def stage(self) -> str | None:
        """What its card, or its adapter's, says that it is: base, assistant, adapter; None where it has none."""
        return read_json((self.adapter or self.folder) / "liuli.json").get("stage")

    @cached_property
    def chat(self) -> Chat:
        """How messages become its ids: by its chat template, or its adapter's if that brings one.

        Raises:
            LiuliError: there is no tokenizer; what `Chat.open` raises.
        """
        if self.tokenizer is None:
            raise LiuliError(f"{self.path} holds no tokenizer, so nothing can be said to it")
        told = self.adapter if self.adapter and has_template(self.adapter) else self.folder
        return Chat.open(told, self.tokenizer)

    def identity(self) -> dict[str, Any]:
        """Path and hash, and those of the adapter, for JSON."""
        own = {"path": self.path, "hash": self.hash}
        return own | ({"adapter": {"path": str(self.adapter), "hash": hash_adapter(self.adapter)}} if self.adapter else {})

    def complete(self, prompt: str | Sequence[int], **settings: Any) -> Completion:
        """Goes on from `prompt` (text, or ids) until it ends; the settings are those of `stream`."""
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
        **sampling: Any,
    ) -> tuple[Completion, Iterator[StepRecord]]:
        """A completion that grows as its steps are taken from the iterator.

        Args:
            prompt: text, in which special strings are read and which gets the begin token; or ids, taken as they are.
            seed: the same seed makes the same choices; one is drawn where none is given.
            candidates: how many of the likeliest tokens to record at each step; None records no scores.
            stop_ids: ids that end it, beside the model's own.
            sampling: fields of `Sampling`; those not given are the folder's own.

        Raises:
            LiuliError: settings out of range, an empty prompt, a prompt that does not fit; a step that cannot be chosen.
        """
        unknown = sampling.keys() - Sampling.__dataclass_fields__
        if unknown:
            known = ("max_tokens", "seed", "stop", "candidates", "stop_ids", *Sampling.__dataclass_fields__)
            raise LiuliError(f"there is no setting {min(unknown)!r}; settings: {', '.join(known)}")
        ids = self._ids(prompt)
        text = prompt if isinstance(prompt, str) else self.tokenizer and _text(self.tokenizer, ids)
        seed = secrets.randbits(32) if seed is None else seed
        completion = Completion(text, ids, seed, replace(self.sampling, **sampling))
        engine = Engine(self.decoder, self.tokenizer, slots=1, capacity=len(ids) + max_tokens)
        ends = (*self.stop_ids, *stop_ids)
        engine.submit(Request(ids, completion.sampling, max_tokens, seed, stop, ends, candidates))
        return completion, _run(engine, completion)

    def _ids(self, prompt: str | Sequence[int]) -> list[int]:
        if not isinstance(prompt, str):
            try:
                return [index(id) for id in prompt]
            except TypeError:
                raise LiuliError(f"a prompt is a text or a list of ids, not {shortened(prompt)}") from None
        if self.tokenizer is None:
            raise LiuliError(f"{self.path} holds no tokenizer: give the prompt as ids")
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
        adapter: the folder of one to use with it, open under that name. Where a tokenizer or a `generation_config.json` lies
            beside it, that stands for the model's own.

    Raises:
        LiuliError: what `find_folder`, `read_decoder`, `open_tokenizer` and `peft_folder.load` raise; a tokenizer with more ids
            than the model has; a device that this machine lacks.
    """
    number = find_dtype(dtype) if isinstance(dtype, str) else dtype
    folder = find_folder(path, weights=True)
    decoder = read_decoder(folder, find_device(device), number)
    tokenizer = None
    if adapter is not None:
        load_adapter(decoder, Path(adapter), str(adapter), folder)
        tokenizer = find_tokenizer(Path(adapter), pattern)
    tokenizer = tokenizer or find_tokenizer(folder, pattern)
    if tokenizer is not None and tokenizer.vocab_size > decoder.config.vocab_size:
        raise LiuliError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} ids, but the model's embedding only "
            f"{decoder.config.vocab_size}: they do not belong together"
        )
    return Model(str(path), folder, decoder, tokenizer, None if adapter is None else Path(adapter))


def _text(tokenizer: Tokenizer, ids: list[int]) -> str:
    """As `decode`, but the ids may be those that only the model has, whose embedding may be larger than the vocabulary."""
    stream = TextStream(tokenizer)
    return "".join(map(stream.push, ids)) + stream.finish()


def _run(engine: Engine, completion: Completion) -> Iterator[StepRecord]:
    while engine.busy:
        for record in engine.step():
            completion.add(record)
            if record.finish_reason == "error":
                raise LiuliError(f"token {record.index}: {record.error}")
            yield record


def _default_sampling(folder: Path) -> tuple[Sampling, str]:
    """The settings that `generation_config.json` names, and a word on where they are from."""
    raw = read_json(folder / "generation_config.json")
    given = {name: raw[name] for name in SAMPLING_FIELDS if raw.get(name) is not None}
    if raw.get("do_sample") is False:
        given["temperature"] = 0.0
    if not given:
        return Sampling(temperature=DEFAULT_TEMPERATURE), "Liuli's default, as the folder names none"
    if isinstance(given.get("top_k"), float) and given["top_k"].is_integer():
        given["top_k"] = int(given["top_k"])
    try:
        return Sampling(**given), "the folder's generation_config.json"
    except LiuliError as error:
        raise LiuliError(f"{folder / 'generation_config.json'}: {error}") from None
