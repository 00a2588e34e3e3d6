"""What a base model is made from: its tokenizer, its decoder, and the files that lie beside it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from liuli.data.packing.pieces import encoded
from liuli.data.split import TextSplit
from liuli.data.text.interleave import BEFORE, interleaved, lanes_of
from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.hub import find_folder
from liuli.learn.prepare.job import Job
from liuli.model.config import PRESETS, Config
from liuli.model.decoder import Decoder
from liuli.model.formats.families import config_from, read_config
from liuli.model.formats.hugging_face import read_decoder
from liuli.model.linear import MixedLinear, exchange
from liuli.model.start import start
from liuli.tokens import Tokenizer, open_tokenizer
from liuli.tokens.train import train as train_tokenizer

SIZES = ("nano", "micro", "mini", "small", "base")
BESIDE = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja")  # of a model's folder, what may belong to its tokenizer
NOT_BESIDE = ("config.json", "liuli.json", "*.index.json", "adapter_config.json")
MEASURED = 1000, 1_000_000  # documents, tokens: how much is looked at to know how long documents are


def make_tokenizer(job: Job, split: TextSplit, folder: Path) -> Tokenizer:
    """The job's tokenizer, trained or copied to `folder`."""
    given = job.parent or (job.tokenizer if job.tokenizer not in (None, "bpe", "char") else None)
    if given is None:
        texts = (document.text for document in split.training())
        trained = train_tokenizer(texts, job.tokenizer or "bpe", job.vocab_size, most=_shape(job).vocab_size)
        trained.write(folder)
        return open_tokenizer(folder)
    if job.vocab_size is not None:
        raise LiuliError(f"--vocab-size is for a tokenizer that is to be trained; {given} has its own: leave it out")
    tokenizer = open_tokenizer(given)
    folder.mkdir(exist_ok=True)
    write_beside(find_folder(given), tokenizer, folder)
    return tokenizer


def config_of(job: Job, tokenizer: Tokenizer) -> Config:
    """The shape that the job asks for, with the tokenizer's vocabulary; one that is given keeps its own if it is larger."""
    config = _shape(job)
    if not (job.parent or job.config):
        return replace(config, vocab_size=tokenizer.vocab_size)
    if tokenizer.vocab_size > config.vocab_size:
        raise LiuliError(f"the tokenizer has {tokenizer.vocab_size} ids, and the model's embedding only {config.vocab_size}")
    return config


def with_context(config: Config, length: int, grown: bool) -> Config:
    """The shape with the rows' length as its context, which is what it learns; `grown`: a parent's stays where it is longer."""
    if length > config.context and not config.rotary:
        raise LiuliError(f"rows of {length} tokens do not fit the model's context of {config.context}: give --length")
    if not config.rotary:
        return config
    return replace(config, context=max(config.context, length) if grown else length)


def _shape(job: Job) -> Config:
    if job.parent is not None:
        return read_config(find_folder(job.parent))
    if job.config is not None:
        path = Path(job.config)
        if not path.is_file():
            raise LiuliError(f"there is no file {path}: give --config a config.json")
        return config_from(read_json(path), str(path))
    size = job.size or SIZES[0]
    if size not in SIZES:
        raise LiuliError(f"there is no size {size!r} to train; sizes: {', '.join(SIZES)}")
    return PRESETS[size]


def make_decoder(config: Config, job: Job, device: torch.device) -> Decoder:
    """New weights by seed, or the parent's."""
    if job.parent is not None:
        return open_decoder(find_folder(job.parent, weights=True), config, device)
    decoder = Decoder(config)
    start(decoder, job.seed or 0)
    return decoder.to(device)


def open_decoder(folder: Path, config: Config, device: torch.device) -> Decoder:
    """The decoder in a folder, its weights in memory of their own, with rows for all of the configuration's vocabulary: new
    ones are the mean of all, so that a new token is at first as likely as any other."""
    decoder = read_decoder(folder, device)
    for parameter in decoder.parameters():
        parameter.data = parameter.data.clone()
    decoder.grow(config.vocab_size)
    decoder.config = config
    return decoder


def multiply_in(decoder: Decoder, dtype: torch.dtype) -> None:
    """Makes every projection learn with products in `dtype`."""
    if dtype != torch.float32:
        exchange(decoder, lambda _, linear: MixedLinear(linear, dtype))


def write_beside(tokenizer_folder: Path, tokenizer: Tokenizer, folder: Path) -> None:
    """The tokenizer's files, and `generation_config.json`."""
    copy_beside(tokenizer_folder, folder)
    if not (folder / "generation_config.json").exists():
        ids = {"bos_token_id": tokenizer.begin[:1], "eos_token_id": tokenizer.end[:1]}
        text = json.dumps({name: value[0] for name, value in ids.items() if value}, indent=2)
        (folder / "generation_config.json").write_text(text + "\n", encoding="utf-8")


def copy_beside(source: Path, folder: Path) -> None:
    """The files of a model's or an adapter's folder that may belong to its tokenizer."""
    for path in _beside(source):
        shutil.copyfile(path, folder / path.name)


def check_beside(tokenizer_folder: Path, model: Path) -> None:
    """Raises LiuliError where a file of the tokenizer is not the one that lies beside the model."""
    for path in _beside(model):
        own = tokenizer_folder / path.name
        if own.name == "generation_config.json" and not own.exists():
            continue
        if not own.is_file() or own.read_bytes() != path.read_bytes():
            raise LiuliError(f"{own} is not what was trained with: copy it from {model}")


def _beside(folder: Path) -> list[Path]:
    paths = [path for pattern in BESIDE for path in sorted(folder.glob(pattern))]
    return [path for path in paths if not any(path.match(other) for other in NOT_BESIDE)]


def document_lengths(split: TextSplit, tokenizer: Tokenizer) -> tuple[list[int], bool]:
    """Tokens of the first documents to train on, as far as they were read, and whether these are all."""
    lengths: dict[int, int] = {}
    total, lanes = 0, lanes_of(split.sources)
    for part in encoded(interleaved(split, lanes, [BEFORE] * len(lanes)), tokenizer):
        if (len(lengths) >= MEASURED[0] and part.number not in lengths) or total >= MEASURED[1]:
            return list(lengths.values()), False
        lengths[part.number] = lengths.get(part.number, 0) + len(part.ids)
        total += len(part.ids)
    return list(lengths.values()), True
