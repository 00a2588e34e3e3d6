"""The model that a run begins with: its shape, new weights or a parent's, and the dtype of its matrix multiplications."""

from dataclasses import replace
from pathlib import Path

import torch

from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.learn.prepare.job import SIZES, Job
from liuli.learn.prepare.paths import check_config_file
from liuli.model.config import PRESETS, Config
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import read_decoder, stored_config
from liuli.model.formats.families import config_from
from liuli.model.formats.hugging_face import own_learning_memory
from liuli.model.linear import MixedLinear, exchange
from liuli.model.plan import is_large
from liuli.model.start import start
from liuli.tokens import Tokenizer


def asked_shape(job: Job, parent: Path | None, tokenizer: Tokenizer | None = None) -> Config:
    """The shape that the job asks for. A size gets the tokenizer's vocabulary; a shape that is given keeps its own.

    Raises:
        LiuliError: there is no such file; the vocabulary of a given shape is smaller than the tokenizer's.
    """
    given = job.model
    if parent is not None:
        config = stored_config(parent)
    elif given.config is not None:
        check_config_file(given.config)
        config = config_from(read_json(Path(given.config)), given.config)
    else:
        size = given.size or SIZES[0]
        return PRESETS[size] if tokenizer is None else replace(PRESETS[size], vocab_size=tokenizer.vocab_size)
    if tokenizer is not None:
        tokenizer.fit(config.vocab_size, given.config or str(parent))
    return config


def with_context(config: Config, length: int, from_parent: bool) -> Config:
    """The shape with the length of the rows as its context, which is what it learns. A parent's context stays if it is
    longer.

    Raises:
        LiuliError: learned positions are fewer than a row has tokens.
    """
    if length > config.context and not config.rotary:
        raise LiuliError(
            f"sequences of {length} tokens do not fit the model's context of {config.context}: give a smaller --length"
        )
    if not config.rotary:
        return config
    return replace(config, context=max(config.context, length) if from_parent else length)


def new_decoder(config: Config, seed: int, device: torch.device) -> Decoder:
    """A decoder with new weights."""
    decoder = Decoder(config)
    start(decoder, seed)
    return decoder.to(device)


def open_decoder(folder: Path, config: Config, device: torch.device) -> Decoder:
    """The decoder in a folder, its weights in memory of their own, with rows for all of the configuration's vocabulary: each
    new row is the mean of all, so that a new token is at first as likely as any other."""
    decoder = read_decoder(folder, device)
    own_learning_memory(decoder)
    decoder.extend_vocabulary(config.vocab_size)
    decoder.config = config
    return decoder


def open_frozen(folder: Path, config: Config, device: torch.device) -> Decoder:
    """The decoder in a folder as the frozen base of an adapter: what the file holds in 16 bits stays in 16 bits, mapped."""
    decoder = read_decoder(folder, device, dtype=None)
    decoder.config = config
    return decoder


def multiply_in(decoder: Decoder, dtype: torch.dtype) -> None:
    """Makes every projection train in `dtype`. Large models also use it for validation and samples; small ones, whose numbers
    are compared with the truth, use fp32."""
    if dtype != torch.float32:
        always = is_large(decoder.config)
        exchange(decoder, lambda _, linear: MixedLinear(linear, dtype, always))
