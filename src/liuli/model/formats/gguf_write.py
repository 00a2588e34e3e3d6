"""Writes a model as a GGUF file, which llama.cpp and programs based on it open.

In: a decoder, and the metadata of its tokenizer. Out: one file. Tensors are quantised and written one after the other, so that
the peak memory is that of the decoder and of a few copies of its largest tensor.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, LlamaFileType
from torch import Tensor

from liuli.errors import LiuliError
from liuli.model.decoder import Decoder
from liuli.model.formats.gguf_keys import frequency_divisors, metadata_of
from liuli.model.formats.gguf_names import FREQUENCIES, gguf_name, interleaved, is_permuted, stored_shift
from liuli.model.formats.tensor_names import tensor_names
from liuli.watch import Watch, unwatched

BLOCK = 1 << 20  # numbers that are quantised at once
TABLES = ("token_embd.weight", "output.weight")
TYPES = {  # the types that can be written, with llama.cpp's file type
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bf16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "q5_1": (GGMLQuantizationType.Q5_1, LlamaFileType.MOSTLY_Q5_1),
    "q5_0": (GGMLQuantizationType.Q5_0, LlamaFileType.MOSTLY_Q5_0),
    "q4_1": (GGMLQuantizationType.Q4_1, LlamaFileType.MOSTLY_Q4_1),
    "q4_0": (GGMLQuantizationType.Q4_0, LlamaFileType.MOSTLY_Q4_0),
}
COARSE = ("q5_1", "q5_0", "q4_1", "q4_0")
FINER = "q8_0"  # the type of the embedding and the head in a file of a coarse type
LARGEST_FLOAT = float(np.finfo(np.float32).max)
INSTEAD = GGMLQuantizationType.F16  # the type of a matrix whose row length is not a multiple of the block size


def write_gguf(
    decoder: Decoder, path: Path, kind: str, tokenizer: dict[str, Any], name: str, watch: Watch = unwatched
) -> dict[str, int]:
    """Writes the decoder to a file.

    Args:
        kind: the type of the matrices, a key of `TYPES`. Vectors and GPT-2's position embeddings are always F32; the embedding
            and the head have at least 8 bits.
        tokenizer: metadata of the tokenizer and other metadata, by key: numbers, booleans, strings, arrays of strings or
            numbers.
        name: the model's name in the file (general.name).
        watch: is called with the number of tensors that are written, and the number of all.

    Returns:
        The number of tensors of each type.

    Raises:
        LiuliError: see `metadata_of`; a number is too large for F16.
        OSError: the file cannot be written.
    """
    file_type = TYPES[kind][1]
    metadata = metadata_of(decoder.config) | {"general.name": name, "general.file_type": int(file_type)}
    if kind.startswith("q"):
        metadata["general.quantization_version"] = gguf.GGML_QUANT_VERSION
    logging.getLogger("gguf").setLevel(logging.ERROR)  # suppresses progress messages of the package
    writer = gguf.GGUFWriter(path, metadata.pop("general.architecture"))
    for key, value in (metadata | tokenizer).items():
        _add(writer, key, value)
    tensors = list(_tensors(decoder, kind))
    counts = Counter(each.type.name for each in tensors)
    for each in tensors:
        shape = gguf.quant_shape_to_byte_shape(each.shape, each.type)
        writer.add_tensor_info(each.name, shape, np.dtype(np.uint8), math.prod(shape), each.type)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for written, each in enumerate(tensors):
            watch("writing tensors", written, len(tensors))
            writer.write_tensor_data(each.stored())
    finally:
        writer.close()
    return counts


@dataclass(frozen=True, slots=True)
class TensorToWrite:
    """A tensor to be written to a file.

    Attributes:
        parts: the decoder's parameters that it consists of, joined along the rows.
        order: the order in which the rows are written; None: unchanged.
        added: a number that is added to every number.
    """

    name: str
    type: GGMLQuantizationType
    parts: list[Tensor]
    order: Tensor | None = None
    added: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(len(part) for part in self.parts), *self.parts[0].shape[1:])

    def stored(self) -> np.ndarray:
        """Returns the tensor's bytes, (rows, bytes per row) uint8. Raises LiuliError: a number is too large for F16."""
        whole = self.parts[0] if len(self.parts) == 1 else torch.cat(self.parts)
        rows = whole.view(len(whole), -1)
        found = np.empty(gguf.quant_shape_to_byte_shape(tuple(rows.shape), self.type), np.uint8)
        step = max(BLOCK // rows.shape[1], 1)

        def fill(start: int) -> None:
            chosen = slice(start, start + step)
            piece = rows[chosen] if self.order is None else rows[self.order[chosen]]
            numbers = piece.to("cpu", torch.float32).add(self.added).numpy()
            packed = np.ascontiguousarray(quants.quantize(numbers, self.type))
            if packed.dtype == np.float16 and not np.isfinite(packed).all():
                raise LiuliError(f"the tensor {self.name} has numbers that are too large for F16: give --type bf16 or f32")
            found[chosen] = packed.view(np.uint8).reshape(len(numbers), -1)

        with ThreadPoolExecutor(torch.get_num_threads()) as pool, np.errstate(over="ignore"):
            for _ in pool.map(fill, range(0, len(rows), step)):
                pass
        return found


def _tensors(decoder: Decoder, kind: str) -> Iterator[TensorToWrite]:
    config, parameters = decoder.config, dict(decoder.named_parameters(remove_duplicate=False))
    divisors = frequency_divisors(config)
    if divisors is not None:
        yield TensorToWrite(FREQUENCIES, GGMLQuantizationType.F32, [divisors])
    for canonical, place in tensor_names(config).items():
        name, parts = gguf_name(canonical, config.family), [parameters[part].detach() for part in place.parts]
        heads = config.kv_heads if ".k_proj." in canonical else config.heads
        order = interleaved(heads, len(parts[0])) if is_permuted(canonical, config.family) else None
        yield TensorToWrite(name, _type(name, parts[0], kind), parts, order, stored_shift(canonical, config.family))


def _type(name: str, part: Tensor, kind: str) -> GGMLQuantizationType:
    """Returns the type in which a tensor is stored."""
    if part.ndim == 1 or name.startswith("position_embd"):
        return GGMLQuantizationType.F32
    wanted = TYPES[FINER if name in TABLES and kind in COARSE else kind][0]
    return wanted if part.shape[-1] % GGML_QUANT_SIZES[wanted][0] == 0 else INSTEAD


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """Adds one key to the metadata, with the type that llama.cpp expects for its value. An empty array is not written: the
    package `gguf` refuses it, and llama.cpp's converter does not write it either."""
    if isinstance(value, np.ndarray):
        kind = GGUFValueType[value.dtype.name.upper()]
        array = value.tolist()
    elif isinstance(value, list):
        kind = GGUFValueType.STRING
        array = value
    else:
        writer.add_key_value(key, value, _type_of(value))
        return
    if array:
        writer.add_key_value(key, array, GGUFValueType.ARRAY, kind)


def _type_of(value: bool | int | float | str) -> GGUFValueType:
    """Returns the type of a single value: 32 bits if they are enough, else 64."""
    if isinstance(value, bool):
        return GGUFValueType.BOOL
    if isinstance(value, str):
        return GGUFValueType.STRING
    if isinstance(value, float):
        return GGUFValueType.FLOAT32 if not math.isfinite(value) or abs(value) <= LARGEST_FLOAT else GGUFValueType.FLOAT64
    if value < 0:
        return GGUFValueType.INT32 if value >= -(2**31) else GGUFValueType.INT64
    return GGUFValueType.UINT32 if value < 2**32 else GGUFValueType.UINT64
